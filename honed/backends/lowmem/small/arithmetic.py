"""Activations, softmax and layer norm in place, by blocks that stay in the cache of a core.

numpy makes one pass over its arrays for each operation. Over whole arrays these passes would be
bound by memory; over blocks of a few thousand numbers they are bound by arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Numbers in a block: 128 KiB. Three arrays of this size are in use at once, of the 1 MiB or more
# of second-level cache that a server's core has. Smaller blocks would spend more time in Python.
BLOCK = 32 * 1024
_TEMPORARIES = 2

# log((1 - erf(a / sqrt 2)) / 2) for a >= 0, as a polynomial in a, the constant first. It is fitted
# so that the largest error of the GELU, which is a times its exponential, is least: 4.4e-7. The
# polynomial is negative and falls for every a.
_LOG_TAIL = (
    -0.693173259, -0.797665354, -0.318842464, -0.0359240029, 0.00491064047, -0.000328072973,
)  # fmt: skip

_LARGEST_EXPONENT = 88.0  # exp of more is infinite in 32 bits

# Of x [rows, columns] + a bias [columns], where there is one, into x.
Activation = Callable[[Floats, Floats | None, "Temporaries"], None]


class Temporaries:
    """The arrays that one thread needs for a block, allocated once."""

    nbytes = _TEMPORARIES * BLOCK * 4

    def __init__(self) -> None:
        self._arrays = np.empty((_TEMPORARIES, BLOCK), np.float32)

    def like(self, block: Floats) -> tuple[Floats, Floats]:
        """Two arrays in the shape of a block [rows, columns]."""
        first, second = (array[: block.size].reshape(block.shape) for array in self._arrays)
        return first, second


def blocks(x: Floats, bias: Floats | None = None) -> Iterator[Floats]:
    """`x` [rows, columns] in views of at most BLOCK numbers, each when a bias [columns] has been
    added to it, if there is one."""
    rows, columns = x.shape
    width = min(columns, BLOCK)
    height = max(1, BLOCK // max(width, 1))
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            block = x[row : row + height, column : column + width]
            if bias is not None:
                block += bias[column : column + width]
            yield block


def gelu(x: Floats, bias: Floats | None, temporaries: Temporaries) -> None:
    """x (1 + erf(x / sqrt 2)) / 2, written as x / 2 + |x| (1 / 2 - tail), where the tail of the
    normal distribution beyond |x| is the exponential of a polynomial."""
    for block in blocks(x, bias):
        size, tail = temporaries.like(block)
        np.abs(block, out=size)
        np.multiply(size, _LOG_TAIL[-1], out=tail)
        for coefficient in _LOG_TAIL[-2:0:-1]:
            tail += coefficient
            tail *= size
        tail += _LOG_TAIL[0]
        np.exp(tail, out=tail)
        tail -= 0.5
        tail *= size
        block *= 0.5
        block -= tail


def gelu_tanh(x: Floats, bias: Floats | None, temporaries: Temporaries) -> None:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    scale = math.sqrt(2 / math.pi)
    for block in blocks(x, bias):
        inner, _ = temporaries.like(block)
        np.multiply(block, block, out=inner)
        inner *= 0.044715 * scale
        inner += scale
        inner *= block
        np.tanh(inner, out=inner)
        inner += 1
        inner *= 0.5
        block *= inner


def relu(x: Floats, bias: Floats | None, _: Temporaries) -> None:
    for block in blocks(x, bias):
        np.maximum(block, 0, out=block)


def tanh(x: Floats, bias: Floats | None, _: Temporaries) -> None:
    for block in blocks(x, bias):
        np.tanh(block, out=block)


def silu(x: Floats, bias: Floats | None, temporaries: Temporaries) -> None:
    """x / (1 + exp(-x))."""
    for block in blocks(x, bias):
        divisor, _ = temporaries.like(block)
        np.negative(block, out=divisor)
        np.exp(np.minimum(divisor, _LARGEST_EXPONENT, out=divisor), out=divisor)
        divisor += 1
        block /= divisor


# By the names of a layout.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu, "gelu_tanh": gelu_tanh, "relu": relu, "silu": silu, "tanh": tanh,
}  # fmt: skip


def exponentials(scores: Floats) -> Floats:
    """Replace each row of `scores` by exp(score - the row's largest), and return the sums of the
    rows [rows, 1]. The softmax is their quotient; dividing the product with the values instead
    divides fewer numbers."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    sums: Floats = scores.sum(axis=1, keepdims=True)
    return sums


def add_and_norm(
    x: Floats, added: tuple[Floats | None, ...], norm: tuple[Floats, Floats], epsilon: float
) -> None:
    """The layer norm of the sum of x and what is added, over the columns of x [rows, columns],
    into x.

    `added` are arrays like x, vectors [columns], or None; `norm` holds the weights and the biases
    [columns]."""
    weights, biases = norm
    columns = x.shape[1]
    height = max(1, BLOCK // columns)
    for row in range(0, len(x), height):
        block = x[row : row + height]
        for summand in added:
            if summand is not None:
                block += summand if summand.ndim == 1 else summand[row : row + height]
        block -= block.sum(axis=1, keepdims=True) / columns
        squares = np.einsum("ij,ij->i", block, block)
        block *= (1 / np.sqrt(squares / columns + epsilon))[:, None]
        block *= weights
        block += biases
