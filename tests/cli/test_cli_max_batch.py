"""honed run workload=max_batch as typed: real processes under a real ceiling."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from honed.cli import app

HONED = str(Path(sys.executable).with_name("honed"))
EACH_MIB = 40
COUNTERS_MIB = 1  # the kernel counts resident pages by batches, on each cpu
WORDS = ("model=tiny", "backend=fake", "sequence_length=8", f"fake.sequence_kib={EACH_MIB * 1024}")


def honed(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HONED, *words], capture_output=True, text=True, cwd=cwd, timeout=280)


def honed_here(*words: str) -> Result:
    """The command in this process, which has imported honed already."""
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "160"})


def test_the_largest_batch_is_found_and_every_try_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("run", "workload=max_batch", *WORDS, "batch_size=5", "memory=300MiB")
    done = honed(tmp_path, *search, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    record = json.loads(line)
    found = record["passes"]["max_batch"]
    assert record["case"]["workload"] == "max_batch"
    assert record["case"]["memory_limit"] == "300MiB"
    assert found["too_large"] == found["batch_size"] + 1
    assert 3 <= found["batch_size"] <= 7  # the rest is Python, numpy and honed
    assert found["limited_by"] in ("a memory control group", "RLIMIT_DATA")
    for one in found["tries"]:
        assert one["fits"] is (one["batch_size"] <= found["batch_size"])
        assert one["fits"] or one["status"] == "oom"
        if one["fits"]:
            peak_mib = one["peak_bytes"] / 2**20
            assert EACH_MIB * one["batch_size"] < peak_mib < 300 + COUNTERS_MIB
    assert "does not fit" in done.stderr
    monkeypatch.chdir(tmp_path)
    tried = honed_here("list", f"batch_size={found['batch_size']}", "--format", "jsonl")
    assert json.loads(tried.stdout.splitlines()[-1])["case"]["workload"] == "closed_loop"
    shown = honed_here("show", record["id"])
    assert f"largest batch {found['batch_size']} in 300 MiB, held by" in shown.stdout
    resumed = honed_here(*search, "--resume")
    assert "1 already done" in resumed.stderr


def test_any_case_runs_under_a_limit_that_is_proven(tmp_path: Path) -> None:
    words = (*WORDS, "batch_size=1,30", "duration_s=0.1", "warmup_s=0.1", "fake.build=ok")
    done = honed(tmp_path, "run", *words, "memory=300MiB", "--json")
    fits, not_fits = map(json.loads, done.stdout.splitlines())
    assert fits["status"] == "ok", fits["error"]
    assert fits["effective"][0]["memory_limit"] == "300MiB"
    assert not_fits["status"] == "oom", not_fits["error"]


def test_a_size_without_a_unit_is_refused(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", *WORDS, "memory=64")
    assert done.returncode == 2
    assert "64MiB or 64GiB" in done.stderr
