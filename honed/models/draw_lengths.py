"""Lengths drawn from a distribution: the same for every engine, and as many as speak for it."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from honed import length_spec as words
from honed.models.histogram import quantiles, read_histogram

_SEQUENCES = 256
_LEAST_BATCHES, _MOST_BATCHES = 8, 64


def batches_for(batch_size: int) -> int:
    """How many batches stand for a distribution.

    Lengths are drawn by quantiles, so their mean is right with few. What luck decides is which
    of them meet in a batch, and so the mean of the longest: with 256 sequences it varies by 0.7
    to 2 % (one standard deviation, 400 seeds) for uniform(8,512) and by 2 to 4 % for
    lognormal(120,80), whose tail is long. A turn through more would take longer than most people
    measure. Single sequences have no company, and 64 are enough.
    """
    return max(_LEAST_BATCHES, min(_MOST_BATCHES, math.ceil(_SEQUENCES / batch_size)))


def drawn(text: str, count: int, longest: int, seed: int) -> tuple[int, ...]:
    """`count` lengths at evenly spaced quantiles, cut at `longest`, in an order that `seed` makes.

    Two seeds give the same lengths in different company.
    """
    shares = (np.arange(count) + 0.5) / count
    found = np.clip(_quantiles(words.parse(text), shares), 1, longest)
    order = np.random.default_rng((seed, count)).permutation(count)
    return tuple(int(n) for n in found[order])


def longest(text: str) -> int | None:
    """The longest that the distribution can give; None if it has no end."""
    asked = words.parse(text)
    if asked.kind == "histogram":
        return max(read_histogram(Path(asked.path)))
    return asked.longest


def _quantiles(asked: words.Lengths, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    if asked.kind == "histogram":
        return quantiles(read_histogram(Path(asked.path)), shares)
    if asked.kind == "uniform":
        return _whole(np.floor(asked.first + shares * (asked.second - asked.first + 1)))
    normal = NormalDist(asked.first, asked.second)
    if asked.kind == "lognormal":  # whose logarithm is normal, with these two
        variance = math.log1p((asked.second / asked.first) ** 2)
        normal = NormalDist(math.log(asked.first) - variance / 2, math.sqrt(variance))
    found = np.array([normal.inv_cdf(share) for share in shares])
    if asked.kind == "lognormal":
        found = np.exp(np.minimum(found, 40.0))  # far above any cut, below the end of integers
    return _whole(np.rint(found))


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return values.astype(np.int64)
