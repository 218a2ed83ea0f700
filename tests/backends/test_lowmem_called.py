"""What user code passes to `honed.lowmem`, checked the same for both engines."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_encoders import made

import honed
from honed.errors import UsageError

pytestmark = pytest.mark.engine

GOOD = np.array([[5, 6, 7], [5, 6, 7]])
each_engine = pytest.mark.parametrize("engine", ["torch", "small"])


@each_engine
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((np.array([[10**6]]),), "input_ids holds 1000000, and this model has 0 to"),
        ((np.array([[-1]]),), "input_ids holds -1"),
        ((np.array([[1.5]]),), "input_ids has the type float64"),
        ((np.array([5, 6]),), r"input_ids has the shape \[2\]"),
        ((np.zeros((0, 3), int),), r"input_ids has the shape \[0, 3\]"),
        ((np.full((1, 5000), 5),), "a sequence of 5000 tokens is longer than"),
        ((GOOD, np.ones((1, 3), int)), r"attention_mask has the shape \[1, 3\]"),
        ((GOOD, np.ones_like(GOOD), np.full_like(GOOD, 9)), "token_type_ids holds 9"),
    ],
)
def test_inputs_that_the_model_cannot_look_up_are_refused(
    tmp_path: Path, engine: Any, inputs: tuple[Any, ...], message: str
) -> None:
    made(tmp_path, "bert")
    with honed.lowmem(str(tmp_path), engine=engine) as model:
        with pytest.raises(UsageError, match=message):
            model(*inputs)
        assert len(model(GOOD)) > 0  # the refusal did no harm


@each_engine
def test_segments_of_a_model_that_has_one_kind_change_nothing(tmp_path: Path, engine: Any) -> None:
    made(tmp_path, "roberta")
    with honed.lowmem(str(tmp_path), engine=engine) as model:
        for with_zeros, without in zip(
            model(GOOD, None, np.zeros_like(GOOD)).values(), model(GOOD).values(), strict=True
        ):
            np.testing.assert_array_equal(with_zeros, without)
        with pytest.raises(UsageError, match="token_type_ids holds 1"):
            model(GOOD, None, np.ones_like(GOOD))


@each_engine
def test_a_closed_model_says_so(tmp_path: Path, engine: Any) -> None:
    made(tmp_path, "bert")
    model = honed.lowmem(str(tmp_path), engine=engine)
    model.close()
    model.close()
    with pytest.raises(UsageError, match="was closed"):
        model(GOOD)


@each_engine
def test_a_read_only_checkpoint_is_called(tmp_path: Path, engine: Any) -> None:
    made(tmp_path, "bert")
    for path in (*tmp_path.iterdir(), tmp_path):
        path.chmod(path.stat().st_mode & 0o555)
    names = {path.name for path in tmp_path.iterdir()}
    try:
        with honed.lowmem(str(tmp_path), engine=engine) as model:
            assert len(model(GOOD)) > 0
    finally:
        tmp_path.chmod(0o755)
    assert {path.name for path in tmp_path.iterdir()} == names


@each_engine
def test_a_budget_that_nothing_keeps_warns_once(tmp_path: Path, engine: Any) -> None:
    made(tmp_path, "bert")
    with honed.lowmem(str(tmp_path), memory_budget="1KiB", engine=engine) as model:
        with pytest.warns(UserWarning, match="memory_budget=1KiB is less than the") as told:
            model(GOOD)
        assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model(GOOD)
