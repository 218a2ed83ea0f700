import json
import subprocess
import sys

import pytest

from honed import artifacts
from honed.machine import limits, peak_flops

FACTS = {"cpu": "x", "flags": ["avx512f", "avx512_vnni", "avx512_bf16"]}
CPUS = limits.own_affinity()[:1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HONED_CACHE", str(tmp_path))


@pytest.fixture
def measured(monkeypatch):
    """Stands in for the measuring process: 1e9 FLOP/s per CPU."""
    calls = []

    def run(command, **options):
        calls.append((command, options["env"]["OPENBLAS_NUM_THREADS"]))
        out = json.dumps({"fp32_flops_per_s": 1e9 * len(calls)}).encode()
        return subprocess.CompletedProcess(command, 0, out)

    monkeypatch.setattr(peak_flops.subprocess, "run", run)
    return calls


@pytest.mark.parametrize(
    ("precision", "flags", "ratio"),
    [
        ("fp32", ["avx512f", "amx_bf16"], 1),
        ("bf16", ["avx512f"], 1),
        ("bf16", ["avx512_bf16"], 2),
        ("bf16", ["avx512_bf16", "amx_bf16"], 16),
        ("int8", ["avx2"], 1),
        ("int8", ["avx_vnni"], 4),
        ("int8", ["avx512_vnni", "amx_int8"], 32),
        ("int4", ["avx512_vnni"], 4),
        ("fp16", ["avx512_fp16"], 2),
        ("int8", ["asimddp", "i8mm"], 8),
        ("bf16", ["asimd", "bf16"], 4),
        ("unheard of", ["amx_int8"], 1),
    ],
)
def test_ratios(precision, flags, ratio):
    assert peak_flops.isa_ratio(precision, flags) == ratio


def test_measured_once_per_cpus(measured):
    assert peak_flops.bound_flops_per_s("fp32", [0], FACTS) == 1e9
    assert peak_flops.bound_flops_per_s("int8", [0], FACTS) == 4e9
    assert peak_flops.bound_flops_per_s("fp32", [1, 0], FACTS) == 2e9
    assert [threads for _, threads in measured] == ["1", "2"]
    assert "0-1" in measured[1][0]
    assert [a.about["cpus"] for a in artifacts.entries()]


def test_other_hardware_is_measured_anew(measured):
    peak_flops.bound_flops_per_s("fp32", [0], FACTS)
    peak_flops.bound_flops_per_s("fp32", [0], FACTS | {"cpu": "y"})
    peak_flops.bound_flops_per_s("fp32", [0], FACTS | {"packages": {"torch": "1"}})
    assert len(measured) == 2


@pytest.mark.parametrize("stdout", [b"Segmentation fault", b"{}"])
def test_nonsense_gives_no_bound(monkeypatch, stdout):
    monkeypatch.setattr(
        peak_flops.subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 0, stdout)
    )
    assert peak_flops.bound_flops_per_s("fp32", [0], FACTS) is None
    assert artifacts.entries() == []


def test_a_measurement_that_fails_is_not_cached(monkeypatch):
    def fail(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(peak_flops.subprocess, "run", fail)
    assert peak_flops.bound_flops_per_s("fp32", [0], FACTS) is None
    assert artifacts.entries() == []
    assert peak_flops.bound_flops_per_s("fp32", [], FACTS) is None


def test_the_real_measurement():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "honed.machine.peak_flops",
            "--cpus",
            str(CPUS[0]),
            "--seconds",
            "0.05",
        ],
        capture_output=True,
        check=True,
    )
    # Any CPU with SSE does 0.1 GFLOP/s even when shared; none does a PFLOP/s on one core.
    assert 1e8 < json.loads(done.stdout)["fp32_flops_per_s"] < 1e15
