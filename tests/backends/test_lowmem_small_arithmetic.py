"""The elementwise arithmetic of the small engine, against the definitions in 64 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from honed.backends.lowmem.small import arithmetic
from honed.backends.lowmem.small.arithmetic import (
    ACTIVATIONS,
    BLOCK,
    Temporaries,
    add_and_norm,
    exponentials,
)

DEFINITIONS: dict[str, Callable[[float], float]] = {
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


def test_every_activation_has_a_definition_here() -> None:
    assert set(ACTIVATIONS) == set(DEFINITIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_right_to_a_millionth(name: str) -> None:
    x = np.linspace(-30, 30, 60_001, dtype=np.float32).reshape(1, -1)
    found = x.copy()
    ACTIVATIONS[name](found, None, Temporaries())
    wanted = np.array([DEFINITIONS[name](v) for v in x[0].tolist()])
    # 32 bits hold 7 digits: far from 0 the error is relative to the value.
    np.testing.assert_allclose(found[0], wanted, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_finite_for_every_size_of_a_number(name: str) -> None:
    x = np.array([[-1e30, -1e4, -100.0, -0.0, 0.0, 100.0, 1e4, 1e30]], np.float32)
    with np.errstate(over="ignore"):
        ACTIVATIONS[name](x, None, Temporaries())
    assert np.isfinite(x).all()
    if name != "tanh":
        np.testing.assert_allclose(x[0, :5], 0, atol=1e-8)
        np.testing.assert_array_equal(x[0, 5:], np.float32([100, 1e4, 1e30]))


@pytest.mark.parametrize("shape", [(3, 7), (5, BLOCK // 2 + 1), (2, BLOCK + 5), (0, 4)])
def test_blocks_cover_an_array_once(shape: tuple[int, int]) -> None:
    x = np.zeros(shape, np.float32)
    for block in arithmetic.blocks(x):
        assert 0 < block.size <= BLOCK
        block += 1
    np.testing.assert_array_equal(x, 1)


def test_an_activation_of_a_part_of_an_array_leaves_the_rest() -> None:
    x = np.full((4, 10), 2.0, np.float32)
    ACTIVATIONS["relu"](x[:, 3:6], None, Temporaries())
    x[:, 3:6] -= 2
    assert set(np.unique(x)) == {0.0, 2.0}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_bias_is_added_before_an_activation(name: str) -> None:
    """The columns are more than a block has."""
    random = np.random.default_rng(0)
    x, bias = (random.standard_normal(n).astype(np.float32) for n in ((2, BLOCK + 5), BLOCK + 5))
    wanted = x + bias
    ACTIVATIONS[name](wanted, None, Temporaries())
    ACTIVATIONS[name](x, bias, Temporaries())
    np.testing.assert_array_equal(x, wanted)


def test_exponentials_give_the_softmax_for_scores_of_any_size() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [1000.0, 1001.0, 999.0], [-2000.0, -1e30, -2001.0]])
    found = scores.astype(np.float32)
    sums = exponentials(found)
    wanted = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found / sums, wanted / wanted.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("columns", [8, BLOCK, BLOCK + 3])
def test_the_norm_of_a_sum(columns: int) -> None:
    random = np.random.default_rng(0)
    x, added, shift, weights, biases = (
        random.standard_normal(shape).astype(np.float32)
        for shape in ((5, columns), (5, columns), columns, columns, columns)
    )
    total = x.astype(float) + added + shift
    centred = total - total.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 0.1)
    add_and_norm(x, (added, shift), (weights, biases), 0.1)
    np.testing.assert_allclose(x, centred / scale * weights + biases, atol=1e-5)


def test_a_norm_without_a_sum() -> None:
    x: Any = np.array([[1.0, 3.0]], np.float32)
    add_and_norm(x, (), (np.ones(2, np.float32), np.zeros(2, np.float32)), 0.0)
    np.testing.assert_allclose(x, [[-1, 1]])
