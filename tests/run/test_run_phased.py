"""Workloads whose calls have phases, in real processes, with the fake engine."""

from __future__ import annotations

from typing import Any

import pytest

from honed.case import Case
from honed.compose import compose
from honed.errors import UsageError
from honed.record import Record
from honed.run.parent import measure

QUICK: dict[str, Any] = {"backend": "fake", "sequence_length": 8, "warmup_s": 0.1}


def train(**knobs: Any) -> Record:
    slow = {"fake.latency_us": 3000, **knobs}
    record = measure(Case(model="tiny", workload="train_step", **QUICK, knobs=slow))
    assert record.status == "ok", record.error
    return record


def test_the_phases_add_up_to_the_step_and_each_has_mean_and_deviation() -> None:
    record = train(steps=12, warmup_steps=2)
    assert record.metrics is not None
    phases = record.metrics.phases
    assert phases is not None
    assert list(phases) == ["forward", "backward", "optimizer", "step"]
    parts = sum(phases[name].mean for name in ("forward", "backward", "optimizer"))
    assert parts == pytest.approx(0.003, rel=0.01)
    assert parts <= phases["step"].mean
    assert phases["step"].p50 == record.metrics.latency_s.p50
    assert all(phase.stdev is not None for phase in phases.values())


@pytest.mark.parametrize(
    ("until", "names"),
    [("forward", ["forward", "step"]), ("backward", ["forward", "backward", "step"])],
)
def test_a_call_ends_after_the_phase_that_was_asked_for(until: str, names: list[str]) -> None:
    record = train(until=until, steps=3, warmup_steps=1)
    assert record.metrics is not None
    assert list(record.metrics.phases or {}) == names
    assert record.effective[0]["until"] == until


@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_as_many_calls_are_made_as_were_asked_for(warmup_steps: int) -> None:
    record = train(warmup_steps=warmup_steps, steps=7)
    assert record.metrics is not None
    assert record.metrics.samples == 7
    assert record.effective[0]["warmup_steps"] == warmup_steps
    assert record.effective[0]["steps"] == 7
    assert record.samples is not None
    if warmup_steps == 0:  # the first call is a sample
        assert record.metrics.first_call_s == pytest.approx(record.samples.latency_s[0][0])


def test_a_step_that_computes_something_else_has_diverged() -> None:
    knobs = {"fake.fail": "diverge", "steps": 3}
    record = measure(Case(model="tiny", workload="train_step", **QUICK, knobs=knobs))
    assert record.status == "diverged"


def test_attention_needs_no_model_and_leaves_no_checkpoint() -> None:
    (case,) = compose(
        ["workload=attention", "backend=fake", "d_model=16", "sequence_length=8"]
    ).cases
    assert case.model == "none"
    assert case.get("d_model") == 16


def test_settings_of_one_workload_are_refused_for_another() -> None:
    with pytest.raises(UsageError, match="optimizer needs workload=train_step") as refused:
        compose(["model=tiny", "optimizer=sgd"])
    assert refused.value.hint == "add workload=train_step, or drop it"
    with pytest.raises(UsageError, match="which model"):
        compose(["workload=train_step"])


def test_a_sweep_over_workloads_drops_the_settings_of_the_others() -> None:
    cases = compose(["model=tiny", "workload=closed_loop,train_step", "optimizer=sgd,adamw"]).cases
    assert [(c.workload, c.get("optimizer")) for c in cases] == [
        ("closed_loop", None), ("train_step", "sgd"), ("train_step", "adamw"),
    ]  # fmt: skip


def test_attention_may_name_a_function_of_the_user() -> None:
    (case,) = compose(["workload=attention", "attention=mine.fast:attend"]).cases
    assert case.get("attention") == "mine.fast:attend"
    with pytest.raises(UsageError, match="attention=nave is not known") as refused:
        compose(["workload=attention", "attention=nave"])
    assert "did you mean naive" in refused.value.hint
    assert "module:callable" in refused.value.hint
