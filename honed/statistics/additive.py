"""The additive model of blocks: log time = side + block + noise, fitted to all blocks at once.

The means of the blocks' differences compare two sides only where both are in the same blocks. With
several sides, of which some are measured more often than others, the effects of all sides are
fitted together by least squares (incomplete blocks: Yates 1936, "Incomplete randomized blocks").
The differences of fitted effects add up: the log gains of the steps from A to B to C have exactly
the sum of the gain from A to C.

*Noise.* Settings differ in it: on two cores the processes of one instance with two threads were
found to differ by 13 %, those of two instances with one thread each by 1.5 %. So two sides that
are together in five blocks or more are judged by how much their differences vary (Student's t of
pairs). Fewer blocks tell little about two sides alone: there one variance stands for all sides,
with as many degrees of freedom as there are processes beyond the fitted effects. Where these are
few, the usual noise of a process stands in for those that are missing (a moderated variance: Smyth
2004, "Linear models and empirical Bayes methods").
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.statistics.paired import ALPHA, Estimate

Floats = npt.NDArray[np.float64]

# Blocks of two sides from which their differences alone tell the noise. With four degrees of
# freedom, Student's interval is 1.4 times as wide as the normal one.
_PAIRS = 5


@dataclass(frozen=True, slots=True)
class Noise:
    """What is known of the noise of one process (the standard deviation of its log time) before
    anything is measured: the usual noise, how many degrees of freedom there are at least when it
    is counted in, and the least noise that is believed."""

    usual: float
    degrees: int
    least: float


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """The fitted log time of each side. Only differences have a meaning, and only those between
    sides that blocks connect. `counts` are the processes of each side."""

    counts: Mapping[str, int]
    _places: Mapping[str, int]
    _fitted: Floats
    _covariance: Floats  # for a noise of 1
    _estimable: Floats  # projects on the differences that the blocks tell
    noise: float
    degrees: int
    _blocks: Sequence[Mapping[str, float]]
    _least_noise: float

    def connected(self, side: str, against: str) -> bool:
        """Whether the blocks tell the difference of the two sides."""
        if side not in self._places or against not in self._places:
            return False
        contrast = self._contrast(side, against)
        return bool(np.allclose(contrast @ self._estimable, contrast, atol=1e-6))

    def difference(self, side: str, against: str, alpha: float = ALPHA) -> Estimate:
        """How much slower `side` is than `against`, as a logarithm, with Student's interval."""
        from scipy import stats

        log = float(self._contrast(side, against) @ self._fitted)
        error, degrees = self._error(side, against)
        half = float(stats.t.ppf(1 - alpha / 2, degrees)) * error
        count = min(self.counts[side], self.counts[against])
        return Estimate(log, log - half, log + half, count)

    def _error(self, side: str, against: str) -> tuple[float, int]:
        """The standard error of a difference, and its degrees of freedom."""
        pairs = [b[side] - b[against] for b in self._blocks if side in b and against in b]
        if len(pairs) >= _PAIRS:
            noise = max(float(np.std(pairs, ddof=1)), math.sqrt(2) * self._least_noise)
            return noise / math.sqrt(len(pairs)), len(pairs) - 1
        contrast = self._contrast(side, against)
        variance = max(0.0, float(contrast @ self._covariance @ contrast))
        return self.noise * math.sqrt(variance), self.degrees

    def _contrast(self, side: str, against: str) -> Floats:
        contrast = np.zeros(len(self._fitted))
        contrast[self._places[side]] += 1.0
        contrast[self._places[against]] -= 1.0
        return contrast


def fit(blocks: Sequence[Mapping[str, float]], prior: Noise) -> Effects:
    """The effects of the sides from blocks of log times. A block may lack any of the sides."""
    counts = Counter(side for block in blocks for side in block)
    places = {side: place for place, side in enumerate(sorted(counts))}
    cells = [(places[s], len(places) + i, v) for i, b in enumerate(blocks) for s, v in b.items()]
    design = np.zeros((len(cells), len(places) + len(blocks)))
    for row, (side, block, _) in enumerate(cells):
        design[row, side] = design[row, block] = 1.0
    times = np.array([value for *_, value in cells])
    inverse = np.linalg.pinv(design)
    fitted = inverse @ times
    rests = times - design @ fitted
    known = len(cells) - (int(np.linalg.matrix_rank(design)) if cells else 0)
    missing = max(0, prior.degrees - known)
    squares = float(rests @ rests) + missing * prior.usual**2
    noise = max(prior.least, math.sqrt(squares / (known + missing)))
    return Effects(
        counts, places, fitted, inverse @ inverse.T, inverse @ design, noise, known + missing,
        blocks, prior.least,
    )  # fmt: skip
