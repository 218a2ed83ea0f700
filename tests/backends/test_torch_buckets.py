"""Buckets: few shapes, and the same outputs as without buckets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.backends import torch as backend
from honed.backends.base import LoadRequest
from honed.backends.torch import buckets
from honed.case import Case
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

sizes = st.integers(1, 70)


@given(rows=sizes, length=sizes, multiple=st.sampled_from([8, 16, 32]), longest=sizes)
def test_a_bucket_holds_the_batch_and_is_one_of_few(
    rows: int, length: int, multiple: int, longest: int
) -> None:
    longest = max(longest, length)
    wanted = buckets.shape_of(rows, length, multiple, longest)
    assert wanted[0] >= rows
    assert length <= wanted[1] <= longest
    assert wanted[0].bit_count() == 1
    assert wanted[1] % multiple == 0 or wanted[1] == longest


def test_without_a_limit_of_positions_lengths_are_multiples() -> None:
    assert buckets.shape_of(3, 33, 32, None) == (4, 64)


def test_added_rows_repeat_the_first_and_added_columns_are_masked() -> None:
    batch = {
        "input_ids": np.arange(6).reshape(3, 2) + 7,
        "attention_mask": np.ones((3, 2), np.int64),
    }
    found = buckets.padded(batch, 8, None)
    assert found["input_ids"].shape == (4, 8)
    np.testing.assert_array_equal(found["input_ids"][:3, :2], batch["input_ids"])
    np.testing.assert_array_equal(found["input_ids"][3], found["input_ids"][0])
    assert found["attention_mask"].sum() == 8


def step(task: str, pooling: str = "auto", **changes: Any) -> tuple[Any, Any]:
    checkpoint = materialise(ModelRequest("tiny-bert", task=task, pooling=pooling))
    case = Case(model="m", task=task).replace(**changes)
    return backend.load(LoadRequest(case, checkpoint, 1), None), checkpoint


@pytest.mark.engine
@pytest.mark.parametrize(
    ("task", "pooling"),
    [
        ("feature-extraction", "mean"),
        ("feature-extraction", "none"),
        ("sequence-classification", "auto"),
        ("token-classification", "auto"),
        ("question-answering", "auto"),
    ],
)
def test_outputs_have_the_real_shape_and_values(task: str, pooling: str) -> None:
    plain, checkpoint = step(task, pooling)
    bucketed, _ = step(task, pooling, knobs={"torch.buckets": 16})
    for rows, length in ((3, 13), (1, 16), (5, 128)):
        batch = random_inputs(checkpoint, rows, length, seed=4).batches[0]
        wanted = plain.outputs(plain.run(plain.prepare(batch)))
        got = bucketed.outputs(bucketed.run(bucketed.prepare(batch)))
        for name, array in wanted.items():
            assert got[name].shape == array.shape
            np.testing.assert_allclose(got[name], array, atol=2e-5)


@pytest.mark.engine
def test_many_shapes_are_compiled_as_few() -> None:
    knobs = {"torch.mode": "compile", "torch.buckets": 16}
    made, checkpoint = step("feature-extraction", knobs=knobs)
    plain, _ = step("feature-extraction")
    for rows, length in ((3, 9), (4, 12), (3, 16), (4, 15)):
        batch = random_inputs(checkpoint, rows, length, seed=5).batches[0]
        wanted = plain.outputs(plain.run(plain.prepare(batch)))["embedding"]
        got = made.outputs(made.run(made.prepare(batch)))["embedding"]
        np.testing.assert_allclose(got, wanted, atol=2e-5)
    facts = made.read_back()
    assert facts["graphs"] == 1
    assert facts["torch.buckets"] == 16
    assert facts["torch.mode"] == "compile"
