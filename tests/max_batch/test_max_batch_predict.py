"""Where a search for the largest batch starts."""

from __future__ import annotations

import pytest

from honed.case import Case
from honed.max_batch.predict import Expectation, Growth, growth

MIB = 2**20


def test_a_prediction_adds_what_plan_says_to_what_was_measured() -> None:
    each = Growth("traced", lambda batch_size: (50 + 10 * batch_size) * MIB)
    one, two = Expectation(each, 300 * MIB, instances=1), Expectation(each, 600 * MIB, 2)
    assert one.peak_bytes(5) == 340 * MIB
    assert two.peak_bytes(5) == 680 * MIB
    assert one.most(500 * MIB) == 21
    assert one.most(200 * MIB) == 0


def test_engines_without_torchs_truth_have_no_prediction() -> None:
    assert growth(Case(model="tiny", backend="fake")) is None


@pytest.mark.engine
def test_what_another_sequence_adds_depends_on_the_engine_and_on_the_mode() -> None:
    base = Case(model="tiny-bert", sequence_length=64, workload="max_batch")
    cases = {
        "torch": base,
        "onnxruntime": base.replace(backend="onnxruntime"),
        "training": base.replace(knobs={"mode": "train"}),
    }
    each = {}
    for name, case in cases.items():
        found = growth(case)
        assert found is not None
        assert found.source == "traced"
        at = {n: found.instance_bytes(n) for n in (1, 4, 100, 400)}
        assert sorted(at.values()) == list(at.values())
        assert (at[400] - at[100]) / 300 == pytest.approx((at[100] - at[4]) / 96, rel=0.05)
        each[name] = (at[400] - at[100]) / 300
    assert each["onnxruntime"] != each["torch"]
    assert each["training"] > 2 * each["torch"]


def training_growth(**knobs: str | int) -> Growth:
    case = Case(model="tiny-bert", sequence_length=64, workload="max_batch",
                knobs={"mode": "train", **knobs})  # fmt: skip
    found = growth(case)
    assert found is not None
    return found


@pytest.mark.engine
def test_training_steps_are_traced_as_they_are_measured() -> None:
    plain, parts = training_growth(), training_growth(accumulation_steps=4)
    compiled = training_growth(**{"torch.mode": "compile"})
    assert compiled.instance_bytes(1) == plain.instance_bytes(1)
    assert training_growth(checkpointing="blocks").instance_bytes(8) < plain.instance_bytes(8)
    assert training_growth(optimizer="sgd").instance_bytes(1) < plain.instance_bytes(1)
    # One part of a batch is in memory at a time.
    assert parts.instance_bytes(400) == parts.instance_bytes(401) < plain.instance_bytes(200)
