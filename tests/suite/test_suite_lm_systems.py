"""The suite for language models: what it asks for, and a quick run of all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from engine_steps import prepare_here
from typer.testing import CliRunner

from honed import discovery
from honed.cli import app
from honed.models.presets import PRESETS
from honed.suite.base import all_cases, load_suite

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
def test_a_quick_run_measures_skips_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    experiments = SUITE.experiments(quick=True)
    cases = all_cases(experiments)
    for case in cases:
        if case.workload == "train_step" and case.batch_size < 1000:
            prepare_here(case)
    done = CliRunner().invoke(app, ["suite", "lm-systems", "--quick"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "lm-systems-quick.html").read_text()
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "No numbers" not in markup
    assert markup.count("it was not tried") >= 1
    (share,) = re.findall(r"lm-small, 2 x .*?The plan said .*? \(([+-].*?)%\)", markup) or [None]
    assert share is None or abs(float(share)) < 1
    for said in ("add up to the step within", "matrix products take", "The plan said",
                 "gradients are float32", "one tensor of the residual stream",
                 "naive was measured at up to 64 tokens"):  # fmt: skip
        assert said in markup, said
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["pictures"]) >= 6
    again = CliRunner().invoke(app, ["suite", "lm-systems", "--quick"])
    assert again.exit_code == 0, again.output
    assert f"{len(cases)} cases, {len(cases)} already done" in again.output
