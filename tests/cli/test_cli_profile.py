"""honed profile, with the fake engine: a table, JSON, and files for other viewers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import failed_record, make_record
from typer.testing import CliRunner

from honed.cli import app
from honed.cli._measured import print_views, with_pass

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
    for path in files:
        assert f"{path}: tiny" in done.stderr  # whose trace it is
    assert len(json.loads(files[0].read_text())["traceEvents"]) == 2
    assert json.loads(files[1].read_text())["profiles"][0]["unit"] == "seconds"


def test_json_has_the_table_under_passes(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*WORDS, "--json", "--chrome", str(tmp_path / "trace.json")])
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    rows = json.loads(line)["passes"]["profile"]["rows"]
    assert {row["op"]: row["module"] for row in rows} == {"hash": "layers.*", "mean": "pool"}


def test_a_wrong_key_is_refused_before_anything_is_measured() -> None:
    done = CliRunner().invoke(app, [*WORDS, "--by", "kernel"])
    assert done.exit_code != 0
    assert "has no 'kernel'" in str(done.exception)


def test_a_measurement_without_the_result_that_was_asked_for_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = make_record(), make_record({"model": "other"})
    why = "the engine has no profiler"
    assert print_views([one, other], lambda _: None, why, as_json=False) == 1
    printed = capsys.readouterr()
    assert printed.err.count(why) == 2
    assert "other" in printed.err
    shown = {one.id: "a table"}
    assert print_views([one, other], lambda record: shown.get(record.id), why, as_json=False) == 0
    printed = capsys.readouterr()
    assert "a table" in printed.out
    assert printed.err.count(why) == 1
    failed = failed_record("oom", "no memory")  # its reason was printed as it came
    assert print_views([failed], lambda _: None, why, as_json=True) == 1
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["status"], printed.err) == ("oom", "")
