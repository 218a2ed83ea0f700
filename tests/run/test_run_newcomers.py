"""A new workload and a new pass are one file each: a copy of honed gets the file and measures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import honed

QUICK = ["duration_s=0.1", "warmup_s=0.1", "sequence_length=8", "backend=fake", "--json"]

KERNEL = """
from honed.step import StepKind
from honed.workloads import closed_loop
from honed.workloads.base import Work

HELP = "one operator alone"
KNOBS = ()
STEP = StepKind.KERNEL
PASSES = ("timing", "memory", "proofs")
sample = closed_loop.sample


def work_per_call(case, model, batch, skips_padding):
    assert model is None
    rows, width = batch["attention_mask"].shape
    return Work(flops=4.0 * rows * width**2, bytes=8.0 * rows * width)
"""

TRAINING = """
from dataclasses import replace

from honed.step import StepKind
from honed.workloads import closed_loop
from honed.workloads.base import forward_work

HELP = "forward, backward and optimizer"
KNOBS = ()
STEP = StepKind.TRAINING
PASSES = ("timing", "memory", "proofs")


def sample(call, feeds, how):
    timeline = closed_loop.sample(call, feeds, how)
    taken_ns = [e - b for b, e in zip(timeline.began_ns, timeline.ended_ns)]
    phases_ns = {"forward": [t // 4 for t in taken_ns], "backward": [t // 2 for t in taken_ns]}
    return replace(timeline, phases_ns=phases_ns)


def work_per_call(case, model, batch, skips_padding):
    work = forward_work(model, batch, skips_padding)
    return replace(work, flops=6.0 * work.tokens)
"""

MODULES = """
import sys
from dataclasses import dataclass

from honed.run.passes.base import Merged

NEEDS = ()
BARRIERS = ()


@dataclass(frozen=True, slots=True)
class Part:
    names: tuple[str, ...]


def work(loaded):
    return Part(tuple(sorted(sys.modules)))


def merge(gathered):
    return Merged(recorded=gathered.parts[0])
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(honed.__file__).parent, folder / "honed", ignore=ignored)
    return folder


def run_in(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from honed.cli import main; main()", "run", *QUICK, *words],
        capture_output=True,
        text=True,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "HONED_CACHE": str(copy / "cache")},
        check=False,
    )


def record_of(copy: Path, *words: str) -> dict[str, Any]:
    done = run_in(copy, *words)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["status"] == "ok", record["error"]
    return record


def test_a_kernel_is_measured_without_a_checkpoint(copy: Path) -> None:
    (copy / "honed/workloads/kernel.py").write_text(KERNEL)
    record = record_of(copy, "workload=kernel", "lengths=4..8", "batch_size=2")
    assert record["case"]["model"] == "none"
    made = {path.name for path in (copy / "cache").iterdir()} - {"bound"}  # of the machine
    assert made == {"inputs"}
    assert record["metrics"]["flops_per_s"] > 0
    assert record["metrics"]["bytes_per_s"] > 0
    assert record["metrics"]["tokens_per_s"] is None
    assert record["metrics"]["useful_tokens_per_s"] is None
    assert record["fidelity"] is None
    assert record["inputs"]["source"] == "shapes without values"
    assert record["memory"]["rss_peak_bytes"] > 0


def test_an_engine_for_models_refuses_a_kernel(copy: Path) -> None:
    (copy / "honed/workloads/kernel.py").write_text(KERNEL)
    done = run_in(copy, "workload=kernel", "backend=ctranslate2")
    assert json.loads(done.stdout)["status"] == "unsupported"
    assert "ctranslate2 has no kernel step" in done.stdout


def test_a_training_step_is_measured_without_a_reference(copy: Path) -> None:
    (copy / "honed/workloads/quarters.py").write_text(TRAINING)
    record = record_of(copy, "model=tiny", "workload=quarters", "instances=2", "threads=1",
                       "oversubscribe=true")  # fmt: skip
    assert "reference" not in {path.name for path in (copy / "cache").iterdir()}
    assert record["fidelity"] is None
    phases, latency = record["metrics"]["phases"], record["metrics"]["latency_s"]
    assert list(phases) == ["forward", "backward"]
    assert phases["forward"]["p50"] == pytest.approx(latency["p50"] / 4, rel=1e-3)
    assert phases["backward"]["p50"] == pytest.approx(latency["p50"] / 2, rel=1e-3)
    tokens_per_s = record["metrics"]["tokens_per_s"]
    assert record["metrics"]["flops_per_s"] == pytest.approx(6 * tokens_per_s)
    assert record_of(copy, "model=tiny")["metrics"]["phases"] is None


def test_a_pass_is_asked_for_by_name_and_lands_in_the_record(copy: Path) -> None:
    (copy / "honed/run/passes/modules.py").write_text(MODULES)
    record = record_of(copy, "model=tiny", "passes=modules")
    loaded = record["passes"]["modules"]["names"]
    assert "honed.run.passes.timing" in loaded
    heavy = {"hydra", "omegaconf", "typer", "rich", "sqlalchemy", "scipy", "psutil", "optuna"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
    assert record_of(copy, "model=tiny")["passes"] is None


def test_a_pass_that_does_not_exist_is_refused_before_anything_runs(copy: Path) -> None:
    done = run_in(copy, "model=tiny", "passes=memry")
    assert done.returncode == 2
    assert "no pass is called 'memry'" in done.stderr
    assert "did you mean memory or memory_timeline?" in done.stderr
