"""Case: every field checked, JSON both ways, the same id for the same content."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.case import CORE_FIELDS, DEVICES, POOLINGS, PRECISIONS, TASKS, Case
from honed.errors import UsageError

words = st.text(min_size=1, max_size=20)
counts = st.integers(1, 10_000)
seconds = st.floats(0.001, 1e6)
knob_values = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
knob_names = st.from_regex(r"[a-z]+\.[a-z_]+", fullmatch=True)

cases = st.builds(
    Case,
    model=words,
    task=st.sampled_from(TASKS),
    pooling=st.sampled_from(POOLINGS),
    inputs=st.none() | words,
    inputs_field=words,
    backend=words,
    precision=st.sampled_from(PRECISIONS),
    device=st.sampled_from(DEVICES),
    batch_size=counts,
    sequence_length=counts,
    threads=st.none() | counts,
    instances=counts,
    oversubscribe=st.booleans(),
    duration_s=seconds,
    min_samples=counts,
    warmup_s=st.floats(0, 1e6),
    memory=st.booleans(),
    seed=st.integers(0, 2**31),
    python=st.none() | words,
    knobs=st.dictionaries(knob_names, knob_values, max_size=4),
)


@given(cases)
def test_round_trip_through_json(case: Case) -> None:
    again = Case.from_json(json.loads(json.dumps(case.to_json())))
    assert again == case
    assert again.id == case.id
    assert hash(again) == hash(case)


@given(cases, counts)
def test_another_value_is_another_case(case: Case, batch_size: int) -> None:
    other = case.replace(batch_size=batch_size)
    assert (other == case) == (batch_size == case.batch_size)
    assert (other.id == case.id) == (other == case)


def test_knobs_are_sorted_merged_and_unset_by_none() -> None:
    case = Case(model="m", knobs={"b.x": 1, "a.y": "on"})
    assert list(case.knobs) == ["a.y", "b.x"]
    changed = case.replace(knobs={"a.y": None, "c.z": True})
    assert dict(changed.knobs) == {"b.x": 1, "c.z": True}
    assert changed.get("b.x") == 1
    assert changed.get("a.y") is None
    assert changed.get("batch_size") == 1


def test_a_case_cannot_be_changed() -> None:
    case = Case(model="m", knobs={"a.b": 1})
    with pytest.raises(AttributeError):
        case.batch_size = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        case.knobs["a.b"] = 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("batch_size", 0, "too small"),
        ("batch_size", 1.5, "whole number"),
        ("batch_size", True, "whole number"),
        ("sequence_length", -3, "too small"),
        ("threads", 0, "too small"),
        ("instances", 0, "too small"),
        ("duration_s", 0, "too small"),
        ("timeout_s", -1.0, "too small"),
        ("duration_s", float("nan"), "not a number"),
        ("timeout_s", float("inf"), "not a number"),
        ("precision", "fp23", "did you mean fp32"),
        ("task", "classification", "known:"),
        ("device", "gpu", "known: cpu, cuda"),
        ("model", "", "a word"),
        ("memory", "yes", "true or false"),
        ("seed", None, "null"),
    ],
)
def test_a_wrong_value_is_refused_with_a_hint(field: str, value: object, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Case(**{"model": "m", field: value})  # type: ignore[arg-type]
    assert said in f"{refused.value.message} {refused.value.hint}"
    assert refused.value.hint


def test_a_case_without_a_model_is_refused() -> None:
    with pytest.raises(UsageError, match="model"):
        Case.from_json({"batch_size": 1})


def test_every_field_has_a_help_line() -> None:
    assert all(f.metadata["help"] for f in CORE_FIELDS)


def test_a_total_batch_is_split_over_the_instances() -> None:
    case = Case(model="m", total_batch=8, instances=2)
    assert case.batch_size == 4
    assert Case.from_json(case.to_json()) == case
    assert case.replace(instances=4).batch_size == 2
    assert case.replace(total_batch=16).batch_size == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"total_batch": 8, "instances": 3}, "instances=1,2,4,8"),
        ({"total_batch": 2, "instances": 4}, "instances=1,2"),
        ({"total_batch": 8, "instances": 2, "batch_size": 3}, "only one"),
    ],
)
def test_a_total_batch_that_cannot_be_split_is_refused(words: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Case(model="m", **words)  # type: ignore[arg-type]
    assert said in refused.value.hint


def test_lengths_have_one_spelling_and_leave_other_ids_alone() -> None:
    one, other = (Case(model="m", lengths=text) for text in ("8..128", "uniform(8, 128)"))
    assert one == other
    assert one.id == other.id != Case(model="m").id
    assert one.lengths == "uniform(8,128)"
    assert Case.from_json(one.to_json()) == one
    # Ids that records of earlier versions carry.
    assert Case(model="m").id == "deea0f7771b9"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"lengths": "uniform(8)"}, "two numbers"),
        ({"lengths": "8..64", "inputs": "texts.txt"}, "only one"),
        ({"lengths": "200..300"}, "sequence_length=300"),
        ({"lengths": 64}, "a word"),
    ],
)
def test_lengths_that_cannot_be_are_refused(words: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Case(model="m", **words)  # type: ignore[arg-type]
    assert said in f"{refused.value.message} {refused.value.hint}"
