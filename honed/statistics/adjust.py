"""Calls of unlike inputs, made comparable: what each would have taken had all been alike.

That inputs differ says nothing about the machine. Without this, a spread, a trend or a wide
interval would be laid at its door.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TURNS = 5  # with fewer, an input's own median follows its own noise
_CALLS_PER_TERM = 5


def factors(
    calls: Sequence[float], fed: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> Floats | None:
    """What to multiply each call's time with; None where too few calls can tell.

    `fed` is the input of each call, `sizes` the tokens of each input, with padding and without.
    Five turns give every input a level of its own. With fewer a curve through all calls does:
    the time of a batch is a constant, a part in proportion to its tokens (linear layers) and one
    in proportion to their square (attention); without padding where an engine skips it.
    """
    times = np.asarray(calls, float)
    if not len(times) or len(set(sizes)) == 1:
        return np.ones(len(times))
    inputs = np.asarray(fed, int)
    expected = _own_medians(times, inputs)
    if expected is None:
        expected = _curve(times, np.asarray(sizes, float)[inputs])
    if expected is None or (expected <= 0).any():
        return None
    found: Floats = np.median(times) / expected
    return found


def _own_medians(times: Floats, inputs: npt.NDArray[np.int_]) -> Floats | None:
    expected = np.empty_like(times)
    for index in np.unique(inputs):
        own = inputs == index
        if own.sum() < _TURNS:
            return None
        expected[own] = np.median(times[own])
    return expected


def _curve(times: Floats, tokens: Floats) -> Floats | None:
    """Least squares of the relative errors: a wide batch's noise is larger than a narrow one's."""
    scale = tokens.max(axis=0, keepdims=True).clip(1)
    padded, useful = (tokens / scale).T
    terms = np.stack([np.ones_like(padded), padded, padded**2, useful], axis=1)
    if len(times) < _CALLS_PER_TERM * terms.shape[1]:
        return None
    weighted = terms / times[:, None]
    solved = np.linalg.lstsq(weighted, np.ones_like(times), rcond=None)[0]
    expected: Floats = terms @ solved
    return expected
