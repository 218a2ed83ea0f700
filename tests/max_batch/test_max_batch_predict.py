"""Where a search for the largest batch starts."""

from __future__ import annotations

import pytest

from honed.case import Case
from honed.max_batch.predict import Growth, growth, settings_of

MIB = 2**20


def test_a_prediction_adds_what_plan_says_to_what_was_measured() -> None:
    each = Growth("traced", lambda batch_size: (50 + 10 * batch_size) * MIB)
    assert each.peak_bytes(300 * MIB, 5, instances=1) == 340 * MIB
    assert each.peak_bytes(600 * MIB, 5, instances=2) == 680 * MIB
    assert each.most(300 * MIB, 500 * MIB, instances=1) == 21
    assert each.most(300 * MIB, 200 * MIB, instances=1) == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case(model="x", precision="bf16"), ("infer", "bfloat16", None, False)),
        (Case(model="x", precision="int8"), ("infer", "float32", None, False)),
        (
            Case(model="x", precision="bf16", knobs={"mode": "train"}),
            ("train", "float32", "bfloat16", False),
        ),
        (
            Case(model="x", knobs={"mode": "train", "checkpointing": "blocks"}),
            ("train", "float32", None, True),
        ),
    ],
)
def test_a_case_in_the_words_of_plan(case: Case, words: tuple[object, ...]) -> None:
    found = settings_of(case)
    assert (found.mode, found.dtype, found.autocast, found.checkpointing) == words


def test_an_update_in_the_words_of_plan() -> None:
    knobs = {"mode": "train", "optimizer": "sgd", "optimizer_kernel": "loop",
             "accumulation_steps": 4}  # fmt: skip
    found = settings_of(Case(model="x", knobs=knobs)).optimizer
    assert (found.name, found.loop, found.accumulation) == ("sgd", "for_loop", 4)


def test_engines_without_torchs_truth_have_no_prediction() -> None:
    assert growth(Case(model="tiny", backend="fake")) is None


@pytest.mark.engine
def test_plan_traces_what_another_sequence_adds() -> None:
    found = growth(Case(model="tiny-bert", sequence_length=64, workload="max_batch"))
    assert found is not None
    assert found.source == "traced"
    one, four, many = (found.tensor_bytes(n) for n in (1, 4, 400))
    assert 0 < one < four
    assert (many - four) / 396 == pytest.approx((four - one) / 3, rel=0.2)
