"""honed blame as its users meet it; the Lab is a fake, so that no release is installed."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from fake_lab import FakeLab
from typer.testing import CliRunner

from honed import environments
from honed.cli import app
from honed.environments import index
from honed.errors import UsageError
from honed.run import lab

WORDS = ["blame", "model=tiny", "backend=fake"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An index of four releases, the third of which is slow; environments cost nothing."""
    times_s = {"1.0": 0.01, "1.1": 0.01, "1.2": 0.0115, "1.3": 0.0115}
    names = {f"blame-engine-{version}": value for version, value in times_s.items()}
    fake = FakeLab(lambda case: names[str(case.python)], 0.005)
    # The order of the processes decides which of them meets which noise.
    monkeypatch.setattr(secrets, "randbits", lambda _: 0)
    monkeypatch.setattr(lab, "LocalLab", lambda _: fake)
    monkeypatch.setattr(index, "releases", lambda name, options: tuple(reversed(times_s)))
    monkeypatch.setattr(environments, "find", lambda _: None)
    monkeypatch.setattr(environments, "create", lambda *_, **__: None)
    return tmp_path / "records.db"


def test_the_release_is_named_with_its_interval(world: Path) -> None:
    found = CliRunner().invoke(app, [*WORDS, "versions=engine==1.0..1.3", f"--store={world}"])
    assert found.exit_code == 0, found.output
    assert "engine 1.2 is slower than 1.1 by 15" in " ".join(found.output.split())
    assert "measured afresh" in found.output


def test_json_is_one_object_and_markdown_a_table(world: Path) -> None:
    words = [*WORDS, "versions=engine==1.0,1.2,1.3", f"--store={world}"]
    found = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(found.stdout)
    assert (told["ended"], told["before"], told["guilty"]) == ("found", "1.0", "1.2")
    assert told["ratio"]["ci95"][0] > 1.1
    text = CliRunner().invoke(app, [*words, "--format", "md"]).stdout
    assert text.startswith("**engine 1.2 is slower than 1.0")


@pytest.mark.parametrize(
    "words",
    [WORDS, [*WORDS, "versions=engine"], [*WORDS, "batch_size=1,2", "versions=engine==1.0..1.3"]],
)
def test_a_question_that_is_none_is_refused(world: Path, words: list[str]) -> None:
    found = CliRunner().invoke(app, [*words, f"--store={world}"])
    assert isinstance(found.exception, UsageError)
