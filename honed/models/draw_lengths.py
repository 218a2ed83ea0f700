"""Lengths drawn from a distribution: the same for every engine, and enough to represent it."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from honed import length_spec
from honed.models.histogram import quantiles, read_histogram

_SEQUENCES = 256
_LEAST_BATCHES, _MOST_BATCHES = 8, 64
_LONGEST = 2.0**60  # far above any cut, below the end of 64-bit integers


def batches_for(batch_size: int) -> int:
    """How many batches are drawn to represent a distribution.

    Lengths are drawn by quantiles, so a few already have the right mean. Chance only decides
    which lengths share a batch, and thereby the mean of the batches' longest: with 256 sequences
    it varies by 0.7 to 2 % (one standard deviation, 400 seeds) for uniform(8,512) and by 2 to 4 %
    for lognormal(120,80), whose tail is long. One pass through more batches would take longer
    than most people measure. With one sequence a batch, 64 batches are enough.
    """
    return max(_LEAST_BATCHES, min(_MOST_BATCHES, math.ceil(_SEQUENCES / batch_size)))


def drawn(text: str, count: int, longest: int, seed: int) -> tuple[int, ...]:
    """`count` lengths at evenly spaced quantiles, cut at `longest`, shuffled by `seed`.

    Another seed gives the same lengths in other batches.
    """
    shares = (np.arange(count) + 0.5) / count
    lengths = np.clip(_quantiles(length_spec.parse(text), shares), 1, longest)
    order = np.random.default_rng((seed, count)).permutation(count)
    return tuple(int(n) for n in lengths[order])


def longest(text: str) -> int | None:
    """The longest length that the distribution can give; None where it has no end."""
    spec = length_spec.parse(text)
    if spec.kind == "histogram":
        return max(read_histogram(Path(spec.path)))
    return spec.longest


def _quantiles(spec: length_spec.Lengths, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    if spec.kind == "histogram":
        return quantiles(read_histogram(Path(spec.path)), shares)
    if spec.kind == "uniform":
        span = spec.second - spec.first + 1
        return _whole(np.floor(spec.first + shares * span))
    normal = NormalDist(spec.first, spec.second)
    if spec.kind == "lognormal":  # the logarithm of a lognormal length is normal
        variance = math.log1p(min(spec.second / spec.first, _LONGEST) ** 2) or 1e-300
        normal = NormalDist(math.log(spec.first) - variance / 2, math.sqrt(variance))
    lengths = np.array([normal.inv_cdf(share) for share in shares])
    if spec.kind == "lognormal":
        lengths = np.exp(np.minimum(lengths, math.log(_LONGEST)))
    return _whole(np.rint(lengths))


def _whole(lengths: NDArray[np.float64]) -> NDArray[np.int64]:
    whole: NDArray[np.int64] = np.clip(lengths, -_LONGEST, _LONGEST).astype(np.int64)
    return whole
