"""`honed scale` in a real process, with the fake engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from our_workers import our_workers

HONED = str(Path(sys.executable).with_name("honed"))
# A call is long, so that the worker still runs when the signal arrives.
WORDS = ["model=tiny", "backend=fake", "sequence_length=8", "duration_s=1", "warmup_s=0.05"]


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A scaling run whose output is no terminal, with a worker of its third block."""
    process = subprocess.Popen(
        [HONED, "scale", *WORDS, "--budget", "10m", "--resolution", "0.01%", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:  # without a terminal, the start of each process is one line
        assert line.startswith("block ")
        assert " · " in line
        if line.startswith("block 3"):
            break
    deadline = time.monotonic() + 60
    while not our_workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_prints_what_was_found_so_far(tmp_path: Path, how: signal.Signals) -> None:
    process = started(tmp_path)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; these are the findings so far" in err
    assert "Traceback" not in err
    assert not our_workers()
    assert "Memory allocators: " in out
    pictures = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert pictures
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in pictures)
    sweep = err.partition("honed list sweep=")[2].split()[0]
    listed = subprocess.run(
        [HONED, "list", f"sweep={sweep}", "--json"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    statuses = [json.loads(line)["status"] for line in listed.stdout.splitlines()]
    assert statuses.count("interrupted") == 1
    assert statuses.count("ok") >= 2


def test_an_interrupted_run_prints_its_findings_as_json_too(tmp_path: Path) -> None:
    process = started(tmp_path, "--json")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    findings = [json.loads(line) for line in out.splitlines()]
    assert {"allocator", "openmp"} <= {finding["section"] for finding in findings}
    assert all(Path(tmp_path, finding["picture"]).is_file() for finding in findings)


@pytest.mark.parametrize("out", ["taken", "taken/pictures"])
def test_a_place_without_pictures_is_told_before_anything_is_measured(
    tmp_path: Path, out: str
) -> None:
    (tmp_path / "taken").touch()
    done = subprocess.run(
        [HONED, "scale", *WORDS, "--out", out], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode in (1, 2)
    assert "taken" in done.stderr
    assert "block 1" not in done.stderr
    assert "Traceback" not in done.stderr
