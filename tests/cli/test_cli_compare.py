"""honed compare as its users meet it: real processes, the fake engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from honed.cli.compare import _exit_code
from honed.compare.outcome import Comparison, Contrast
from honed.experiment.draw import Failure
from honed.record import Interval

HONED = str(Path(sys.executable).with_name("honed"))
SHORT = ["duration_s=0.05", "min_samples=5", "warmup_s=0.05", "sequence_length=8"]
FAKE = ["model=tiny", "backend=fake", *SHORT]


def compare(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [HONED, "compare", *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=os.environ | {"COLUMNS": "80"}
    )


def test_a_third_slower_is_found_and_tabled(tmp_path: Path) -> None:
    sides = ["A:", "fake.latency_us=5000", "B:", "fake.latency_us=6500"]
    done = compare(tmp_path, *FAKE, *sides)
    assert done.returncode == 0, done.stderr
    assert "B is slower than A by" in done.stdout
    assert "95 % interval" in done.stdout
    assert "fake.latency_us=6500" in done.stdout
    assert "B: fake.latency_us=6500" in done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_identical_settings_tie_and_json_is_one_object(tmp_path: Path) -> None:
    done = compare(
        tmp_path, *FAKE, "fake.latency_us=5000", "A:", "B:", "--resolution", "25%", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "tie"
    low, high = found["ratio"]["ci95"]
    assert 1 / 1.25 <= low < high <= 1.25  # the resolution
    assert len(found["trials"]) >= 8
    listed = subprocess.run(
        [HONED, "list", f"sweep={found['sweep']}", "--newest", "100", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    ids = [json.loads(line)["id"] for line in listed.stdout.splitlines()]
    assert ids == [t["record"] for t in found["trials"]]


@pytest.mark.parametrize(
    ("verdicts", "ended", "limit", "code"),
    [
        (["slower"], "decided", None, 0),
        (["tie"], "decided", None, 0),
        (["undecided"], "budget", None, 3),
        (["faster", "undecided"], "budget", None, 3),
        (["not slower"], "decided", 0.05, 0),
        (["slower", "undecided"], "budget", 0.05, 1),
        (["faster", "undecided"], "budget", 0.05, 3),
        ([], "failed", None, 1),
        ([], "failed", 0.05, 1),
        (["undecided"], "interrupted", None, 130),
    ],
)
def test_the_exit_code_is_the_answer(
    verdicts: list[Any], ended: Any, limit: float | None, code: int
) -> None:
    contrasts = tuple(Contrast("B", "A", v, Interval(1.0), 8) for v in verdicts)
    failure = Failure("B", "oom", "no room", "", None) if ended == "failed" else None
    found = Comparison(
        "s", "latency", 0.02, limit, 600.0, ended, (), contrasts, (), 60.0, failure=failure
    )
    assert _exit_code(found) == code


def test_a_spent_budget_is_undecided(tmp_path: Path) -> None:
    done = compare(tmp_path, *FAKE, "A:", "B:", "--budget", "1s")
    assert done.returncode == 3
    assert "undecided" in done.stdout
    assert "--budget" in done.stdout


def test_a_stored_case_with_one_word_changed(tmp_path: Path) -> None:
    made = subprocess.run(
        [HONED, "run", *FAKE, "fake.latency_us=3000", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    id = json.loads(made.stdout)["id"]
    done = compare(tmp_path, id[:8], "fake.latency_us=9000", "--json", "--budget", "1s")
    sides = json.loads(done.stdout)["sides"]
    assert [s["case"]["fake.latency_us"] for s in sides] == [3000, 9000], done.stderr
    assert sides[1]["median"] > 2 * sides[0]["median"]
    (tmp_path / "one.jsonl").write_text(made.stdout)
    gate = compare(tmp_path, "--baseline", "one.jsonl", "--fail-if-slower", "5%")
    assert gate.returncode == 3
    assert "repeat honed run" in " ".join(gate.stdout.split())


def test_two_stored_records_are_compared(tmp_path: Path) -> None:
    made = subprocess.run(
        [HONED, "run", *FAKE, "fake.latency_us=3000,9000", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    ids = [json.loads(line)["id"] for line in made.stdout.splitlines()]
    done = compare(tmp_path, *ids, "batch_size=2", "--json", "--budget", "1s")
    sides = json.loads(done.stdout)["sides"]
    assert [s["case"]["fake.latency_us"] for s in sides] == [3000, 9000], done.stderr
    assert {s["case"]["batch_size"] for s in sides} == {2}


def test_a_diverging_side_is_named(tmp_path: Path) -> None:
    done = compare(tmp_path, *FAKE, "A:", "B:", "fake.fail=diverge")
    assert done.returncode == 1
    assert "a trial of B is diverged" in done.stderr
    assert "faster" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*FAKE], "nothing to compare"),
        ([*FAKE, "A:", "B:", "--resolution", "2"], "write 2%"),
        ([*FAKE, "A:", "B:", "--budget", "10 days"], "10m"),
        ([*FAKE, "A:", "B:", "--fail-if-slower", "5"], "'5' is no share"),
        (["nosuch", "A:", "B:"], "no record is called 'nosuch'"),
        (["tiny", "A:", "B:"], "a model is named by model=tiny"),
        (["nosuch:default", "nosuch:best"], "no study is called 'nosuch'"),
        (["--baseline", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_bad_words_teach(tmp_path: Path, words: list[str], said: str) -> None:
    done = compare(tmp_path, *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
