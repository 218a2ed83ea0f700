"""The cost model: how long a batch takes, fitted to the calls that the workers timed at start.

A call costs `fixed_s`, plus `token_s` for each token, plus `square_s` for each pair of tokens that
attention compares. Where the engine computes padding, padding counts as tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.serve.asks import Point

# A batch is large enough when the fixed cost is a twentieth of it; larger ones only delay.
_FIXED_SHARE = 0.05
_TOKENS_LEAST, _TOKENS_MOST = 256, 8192
# Neighbouring classes differ by this factor, so that a text is padded by a third at most.
_CLASS_RATIO = 1.5
_SHORTEST_CLASS = 16
_LONG_OVER_SHORT = 6.0  # a text is short beside one that takes so many times as long
_PLAN_WORTH = 0.05  # the padding that few widths add, as a share of a call


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds of a batch. `error` is the ratio of measured to predicted that 95 % stay under.

    `plan_s` is what the first call of a shape takes beyond the later ones.
    """

    fixed_s: float
    token_s: float
    square_s: float
    skips_padding: bool = False
    error: float = 1.0
    plan_s: float = 0.0

    def padded_s(self, rows: int, width: int) -> float:
        """A batch of `rows` texts that is `width` tokens wide."""
        return self.fixed_s + rows * self.row_s(width)

    def row_s(self, width: int) -> float:
        """What one more row of this width adds to a batch."""
        return self.token_s * width + self.square_s * width * width

    def batch_s(self, lengths: Sequence[int], width: int) -> float:
        """A batch of texts of these lengths in a batch of this width."""
        if not self.skips_padding:
            return self.padded_s(len(lengths), width)
        return self.fixed_s + sum(map(self.row_s, lengths))

    @property
    def batch_tokens(self) -> int:
        """How many tokens make the fixed cost of a call a small share of it."""
        wanted = self.fixed_s * (1 / _FIXED_SHARE - 1) / max(self.token_s, 1e-12)
        return int(min(max(wanted, _TOKENS_LEAST), _TOKENS_MOST))

    def short_edge(self, longest: int) -> int | None:
        """The most tokens of the length classes whose texts take little time beside the longest.

        None where no text is short in this sense.
        """
        most_s = self.padded_s(1, longest) / _LONG_OVER_SHORT
        short = [edge for edge in self.edges(longest) if self.padded_s(1, edge) <= most_s]
        return max(short, default=None)

    @property
    def plans_shapes(self) -> bool:
        """Whether the engine plans each shape anew, and takes long for that.

        It is then given few shapes: padding by a few per cent costs less than planning.
        """
        return not self.skips_padding and self.plan_s > _PLAN_WORTH * self.padded_s(1, 64)

    def width(self, longest: int) -> int:
        """How wide to make a batch whose longest text has so many tokens."""
        if not self.plans_shapes:
            return longest
        step = max(8, 1 << max(0, longest.bit_length() - 5))
        return -(-longest // step) * step

    def edges(self, longest: int) -> tuple[int, ...]:
        """The most tokens of each length class, the shortest class first.

        Texts whose tokens cost less than the call itself share the first class.
        """
        knee = int(self.fixed_s / max(self.token_s, 1e-12))
        edge = float(min(max(knee, _SHORTEST_CLASS), longest, 64))
        edges = []
        while edge < longest:
            edges.append(int(edge))
            edge *= _CLASS_RATIO
        return (*edges, longest)


def fit(points: Sequence[Point], *, skips_padding: bool = False) -> CostModel:
    """The model with the least squared relative error and no negative cost.

    With three costs, the non-negative solution is the best of the solutions of every subset of
    them that is non-negative by itself.
    """
    seconds = np.array([p.seconds for p in points])
    columns = np.array([[1.0, p.rows * p.width, p.rows * p.width**2] for p in points])
    scaled = columns / seconds[:, None]
    best: tuple[float, npt.NDArray[np.float64]] | None = None
    for count in (1, 2, 3):
        for chosen in itertools.combinations(range(3), count):
            part = scaled[:, list(chosen)]
            solution, *_ = np.linalg.lstsq(part, np.ones(len(points)), rcond=None)
            if (solution < 0).any():
                continue
            error = float(((part @ solution - 1) ** 2).sum())
            if best is None or error < best[0]:
                costs = np.zeros(3)
                costs[list(chosen)] = solution
                best = error, costs
    assert best is not None, "a single positive column always has a positive solution"
    costs = best[1]
    ratios = 1 / np.maximum(scaled @ costs, 1e-9)
    error = float(np.quantile(ratios, 0.95))
    plans = [p.first_s - p.seconds for p in points if p.first_s]
    plan_s = max(0.0, float(np.median(plans))) if plans else 0.0
    fixed_s, token_s, square_s = map(float, costs)
    return CostModel(fixed_s, token_s, square_s, skips_padding, max(1.0, error), plan_s)


def pooled(of_workers: Sequence[Sequence[Point]]) -> list[Point]:
    """The median seconds of each shape over the workers, which timed at the same time."""
    by_shape: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for points in of_workers:
        for point in points:
            times = point.seconds, point.first_s
            by_shape.setdefault((point.rows, point.width), []).append(times)
    return [Point(*shape, *np.median(times, axis=0).tolist()) for shape, times in by_shape.items()]
