"""The suite for language models: what it asks for, and a quick run of all of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from engine_steps import prepare_here
from typer.testing import CliRunner

from honed import discovery
from honed.cli import app
from honed.models.presets import PRESETS
from honed.suite.base import load_suite

SUITE = load_suite("lm-systems")
VIEWS = discovery.names("honed.report.views")


@pytest.mark.parametrize("quick", [True, False])
def test_every_experiment_can_be_composed_and_shown(quick: bool) -> None:
    experiments = SUITE.experiments(quick=quick)
    names = [each.name for each in experiments]
    assert len(set(names)) == len(names)
    for each in experiments:
        assert each.view in VIEWS
        assert each.title
        assert each.question.endswith("?")
        assert each.cases()


def test_the_whole_suite_has_every_size_phase_precision_and_kernel() -> None:
    experiments = {each.name: each.cases() for each in SUITE.experiments(quick=False)}
    models = {name for name in PRESETS if name.startswith("lm-")}
    until = {"forward", "backward", "optimizer"}
    sizes = {(case.model, case.get("until")) for case in experiments["sizes"]}
    assert sizes == {(model, phase) for model in models for phase in until}
    assert {case.get("warmup_steps") for case in experiments["warmup"]} == {0, 1, 2, 5}
    assert {case.precision for case in experiments["mixed"]} == {"fp32", "bf16"}
    assert len(experiments["compiled"]) == 3
    shapes = {
        (case.get("d_model"), case.sequence_length)
        for case in experiments["attention"]
        if case.get("attention") == "naive"
    }
    lengths = (256, 1024, 4096, 8192, 16384)
    assert shapes == {(width, length) for width in (16, 32, 64, 128) for length in lengths}
    ways = {case.get("checkpointing") for case in experiments["checkpointing"]}
    assert ways == {"off", "blocks", "nested"}


def test_the_verb_lists_the_suites() -> None:
    done = CliRunner().invoke(app, ["suite"])
    assert done.exit_code == 0, done.output
    assert "lm-systems: training steps, attention" in done.output


@pytest.mark.engine
def test_a_run_measures_skips_reports_and_knows_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiments of --quick that one step of mixed precision answers, for time's sake."""
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    by_name = {each.name: each for each in SUITE.experiments(quick=True)}
    (mixed,) = by_name["precision"].sweeps
    _, too_large = by_name["sizes"].sweeps
    experiments = tuple(
        replace(by_name[name], sweeps=(mixed, too_large) if name == "sizes" else (mixed,))
        for name in ("sizes", "profile", "precision", "memory")
    )
    monkeypatch.setattr(discovery.load("honed.suite.sets", "lm_systems"), "experiments",
                        lambda **_: experiments)  # fmt: skip
    prepare_here(experiments[2].cases()[0])
    done = CliRunner().invoke(app, ["suite", "lm-systems", "--quick"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "lm-systems-quick.html").read_text()
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "No numbers" not in markup
    assert "it was not tried" in markup
    for said in ("add up to the step within", "of the time goes to", "gradients are float32",
                 "one tensor of the residual stream, 2 x 32 x 64"):  # fmt: skip
        assert said in markup, said
    (off,) = set(re.findall(r"The plan said .*? \(([+-].*?)%\)", markup))
    assert abs(float(off)) < 1
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["pictures"]) >= 3
    again = CliRunner().invoke(app, ["suite", "lm-systems", "--quick"])
    assert again.exit_code == 0, again.output
    assert "2 cases, 2 already done" in again.output
