"""Adjust call times for their inputs, so that calls with short and long inputs can be compared.

Inputs that differ spread the call times, and that is no fault of the machine. Without the
adjustment it would look like a spread, a trend or a wide interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TURNS = 5  # with fewer calls, the median of an input mostly follows noise
_CALLS_PER_TERM = 5


def factors(
    calls: Sequence[float], fed: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> Floats | None:
    """A factor for the time of each call; None where there are too few calls to know it.

    `fed` is the input of each call, `sizes` the tokens of each input, with padding and without.
    With five calls or more per input, the median of its calls is what the input takes. With
    fewer, a curve through all calls says so: the time of a batch is a constant, a part in
    proportion to its tokens (linear layers) and one in proportion to their square (attention);
    without padding where an engine skips it.
    """
    times = np.asarray(calls, float)
    if not len(times) or len(set(sizes)) == 1:
        return np.ones(len(times))
    inputs = np.asarray(fed, int)
    expected = _medians_by_input(times, inputs)
    if expected is None:
        expected = _curve(times, np.asarray(sizes, float)[inputs])
    if expected is None or (expected <= 0).any():
        return None
    found: Floats = np.median(times) / expected
    return found


def _medians_by_input(times: Floats, inputs: npt.NDArray[np.int_]) -> Floats | None:
    expected = np.empty_like(times)
    for index in np.unique(inputs):
        calls = inputs == index
        if calls.sum() < _TURNS:
            return None
        expected[calls] = np.median(times[calls])
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
