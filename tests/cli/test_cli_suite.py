"""honed suite, with the fake engine: what it announces, writes and remembers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from honed.cli import app
from honed.suite import measure
from honed.suite.base import Experiment

QUICK = "model=tiny backend=fake sequence_length=8 duration_s=0.1 warmup_s=0.1"
STEPS = f"{QUICK} workload=train_step steps=6 warmup_steps=0,1"


@pytest.fixture(autouse=True)
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiments = (
        Experiment("warmup", "Warm-up", "What do the first steps do?", "warmup", (STEPS,)),
    )

    def found(_: str) -> Any:
        return SimpleNamespace(experiments=lambda **_: experiments)

    monkeypatch.setattr(measure, "load_suite", found)
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def test_a_suite_writes_its_page_and_knows_that_it_is_done(tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["suite", "any"])
    assert first.exit_code == 0, first.output
    assert "any: 1 experiment, 2 cases: at most about" in first.output
    assert "After 0 warm-up steps the mean is" in (tmp_path / "any.html").read_text()
    again = CliRunner().invoke(app, ["suite", "any", "--out", "other.html"])
    assert again.exit_code == 0, again.output
    assert "any: 1 experiment, 2 cases, 2 already done\n" in again.output
    assert (tmp_path / "other.html").exists()
