"""honed profile, with the fake engine: a table, JSON, and files for other viewers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honed.cli import app
from honed.cli._measured import with_pass

WORDS = ["profile", "model=tiny", "backend=fake", "duration_s=0.1", "warmup_s=0.1",
         "sequence_length=8", "fake.latency_us=2000"]  # fmt: skip


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "store"))


def test_the_pass_stands_beside_those_that_the_user_names() -> None:
    assert with_pass(["a=1", "passes=memory"], "profile") == ["a=1", "passes=memory+profile"]
    assert with_pass([], "profile") == ["passes=profile"]


def test_a_table_is_printed_and_traces_are_written(tmp_path: Path) -> None:
    files = [tmp_path / "chrome.json", tmp_path / "scope.json"]
    done = CliRunner().invoke(
        app, [*WORDS, "--by", "op", "--chrome", str(files[0]), "--speedscope", str(files[1])]
    )
    assert done.exit_code == 0, done.output
    assert "hash" in done.output
    assert "50.0%" in done.output
    assert "one call under the profiler took 2.000 ms" in done.output
    assert len(json.loads(files[0].read_text())["traceEvents"]) == 2
    assert json.loads(files[1].read_text())["profiles"][0]["unit"] == "seconds"


def test_json_has_the_table_under_passes() -> None:
    done = CliRunner().invoke(app, [*WORDS, "--json"])
    assert done.exit_code == 0, done.output
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("{")]
    rows = json.loads(line)["passes"]["profile"]["rows"]
    assert {row["op"]: row["module"] for row in rows} == {"hash": "layers.*", "mean": "pool"}


def test_a_wrong_key_is_refused_before_anything_is_measured() -> None:
    done = CliRunner().invoke(app, [*WORDS, "--by", "kernel"])
    assert done.exit_code != 0
    assert "has no 'kernel'" in str(done.exception)
