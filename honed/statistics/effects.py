"""Effects of keys on the logarithm of a cost, estimated from few trials of settings.

*Model.* The logarithm of a cost is a mean, plus an effect of each key's value, plus what no sum of
effects explains, plus noise. Costs multiply (an engine, a precision, a share of the cores), so
their logarithms add up. This is a Gaussian process whose covariance is a sum of one part for each
key (Duvenaud et al. 2011, "Additive Gaussian processes"; Searle, Casella & McCulloch 1992,
"Variance components"): two settings share a key's effect if they share its value; neighbouring
values of an ordered key have similar effects. The part that is no sum decays with the number of
keys that differ.

*Sizes.* The standard deviation of each part is the most probable one under a lognormal prior
around the size that is expected of the key. A key that only noise moves gets a small one, and its
effects are drawn to zero.

*Shares.* Effects of different keys are independent over the whole space, so that the variance of
the sum is the sum of their variances: each key's part of it is its Sobol index (Sobol 2001).

A trial is one process and a search tries few of them, so a least-squares fit has more unknowns
than equations. Here every trial speaks about every key, as far as its noise allows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Row = Mapping[str, Hashable]  # key -> value; a key that is missing does not apply

_MEAN_SD = 3.0  # a cost may be anything
_NOISE, _NOISE_SPREAD = 0.04, 0.5  # processes of one setting differ by about 5 %
_REST = 0.05  # what is no sum of effects
_SIZE_SPREAD = 1.0
_STEP = 0.5  # the distance at which effects of an ordered key have a correlation of 0.6
_LEAST_NOISE = 0.005
_JITTER = 1e-8
# A key is told apart if the data are this many times (as a logarithm) less probable without it.
# Twice this is a chi-squared of one degree of freedom: noise exceeds it once in twenty.
_EVIDENCE = 1.92


@dataclass(frozen=True, slots=True)
class Key:
    """The values of one key. `expected`: the standard deviation of effects such as its own.
    `share`: the part of the space to which it applies."""

    values: tuple[Hashable, ...]
    expected: float
    ordered: bool = False
    share: float = 1.0

    def likeness(self) -> Floats:
        """The correlation of the effects of every two values."""
        if not self.ordered:
            return np.eye(len(self.values))
        places = np.linspace(0.0, 1.0, len(self.values))
        apart = places[:, None] - places[None, :]
        correlation: Floats = np.exp(-0.5 * (apart / _STEP) ** 2)
        return correlation


class Effects:
    """Fitted to the trials of `rows`, whose costs have the logarithms `logs`."""

    def __init__(
        self, keys: Mapping[str, Key], rows: Sequence[Row], logs: Sequence[float]
    ) -> None:
        self._keys = keys
        self._rows = rows
        values = np.asarray(logs, float)
        self._mean = float(values.mean())
        self._values = values - self._mean
        self._parts = {key: self._part(key, rows, rows) for key in keys if self._varies(key)}
        self._rest = self._similarity(rows, rows)
        self._sizes = dict(zip([*self._parts, "rest", "noise"], self._fitted(), strict=True))
        self._inverse = np.linalg.inv(self._covariance(self._sizes))
        self._weights: Floats = self._inverse @ self._values

    def predict(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        """The expected logarithm for each row, and its standard deviation without noise."""
        cross = np.full((len(rows), len(self._rows)), _MEAN_SD**2)
        variance = np.full(len(rows), _MEAN_SD**2)
        for key, of in self._keys.items():
            size = self._sizes.get(key, of.expected) ** 2
            cross += size * self._part(key, rows, self._rows)
            variance += size * np.array([key in row for row in rows])
        cross += self._sizes["rest"] ** 2 * self._similarity(rows, self._rows)
        variance += self._sizes["rest"] ** 2
        means = self._mean + cross @ self._weights
        explained = np.einsum("ij,jk,ik->i", cross, self._inverse, cross)
        return means, np.sqrt(np.maximum(variance - explained, 1e-12))

    def variances(self) -> dict[str, float]:
        """The variance of each key's effects over the values that were tried, in the whole space;
        of the keys that had more than one value. Zero where noise explains the differences."""
        found = {}
        for key in self._parts:
            codes = self._codes(key, self._rows)
            tried = np.unique(codes[codes >= 0])
            likeness = self._keys[key].likeness()[np.ix_(tried, np.maximum(codes, 0))]
            effects = self._sizes[key] ** 2 * (likeness * (codes >= 0)) @ self._weights
            is_told_apart = self._evidence(key) > _EVIDENCE
            found[key] = self._keys[key].share * float(effects.var()) if is_told_apart else 0.0
        return found

    def _evidence(self, key: str) -> float:
        """How much more probable the data are with the key's effects, as a logarithm."""
        return self._probability(self._sizes) - self._probability({**self._sizes, key: 0.0})

    def _varies(self, key: str) -> bool:
        return len({row[key] for row in self._rows if key in row}) > 1

    def _place(self, key: str, row: Row) -> int:
        return self._keys[key].values.index(row[key])

    def _codes(self, key: str, rows: Sequence[Row]) -> npt.NDArray[np.int_]:
        """The place of each row's value among the key's values; -1 where no value applies."""
        return np.array([self._place(key, row) if key in row else -1 for row in rows], int)

    def _part(self, key: str, rows: Sequence[Row], others: Sequence[Row]) -> Floats:
        one, other = self._codes(key, rows), self._codes(key, others)
        likeness = self._keys[key].likeness()[np.ix_(np.maximum(one, 0), np.maximum(other, 0))]
        part: Floats = likeness * np.outer(one >= 0, other >= 0)
        return part

    def _similarity(self, rows: Sequence[Row], others: Sequence[Row]) -> Floats:
        differing = np.zeros((len(rows), len(others)))
        for key in self._keys:
            differing += self._codes(key, rows)[:, None] != self._codes(key, others)[None, :]
        similarity: Floats = np.exp(-differing)
        return similarity

    def _covariance(self, sizes: Mapping[str, float]) -> Floats:
        covariance = _MEAN_SD**2 + sizes["rest"] ** 2 * self._rest
        for key, part in self._parts.items():
            covariance = covariance + sizes[key] ** 2 * part
        noise = max(_LEAST_NOISE, sizes["noise"]) ** 2 + _JITTER
        found: Floats = covariance + noise * np.eye(len(self._values))
        return found

    def _probability(self, sizes: Mapping[str, float]) -> float:
        """The logarithm of the probability of the data, up to a constant."""
        factor = np.linalg.cholesky(self._covariance(sizes))
        solved = np.linalg.solve(factor, self._values)
        return float(-0.5 * solved @ solved - np.log(np.diag(factor)).sum())

    def _fitted(self) -> Floats:
        """The most probable sizes: of each part, of the rest, of the noise."""
        from scipy.optimize import minimize

        names = [*self._parts, "rest", "noise"]
        matrices = [*self._parts.values(), self._rest, np.eye(len(self._values))]
        expected = [self._keys[key].expected for key in self._parts] + [_REST, _NOISE]
        centre = np.log(expected)
        spread = np.array([_SIZE_SPREAD] * (len(names) - 1) + [_NOISE_SPREAD])

        def cost(logs: Floats) -> tuple[float, Floats]:
            squares = np.exp(2 * logs)
            covariance = self._covariance(dict(zip(names, np.exp(logs), strict=True)))
            inverse = np.linalg.inv(covariance)
            weights = inverse @ self._values
            away = (logs - centre) / spread
            _, determinant = np.linalg.slogdet(covariance)
            value = 0.5 * (self._values @ weights + determinant + away @ away)
            pull = inverse - np.outer(weights, weights)
            slopes = [s * float((pull * m).sum()) for s, m in zip(squares, matrices, strict=True)]
            return float(value), np.array(slopes) + away / spread

        bounds = [(math.log(1e-4), math.log(5.0))] * (len(names) - 1) + [
            (math.log(_LEAST_NOISE), 0)
        ]
        solved = minimize(cost, centre, jac=True, method="L-BFGS-B", bounds=bounds)
        sizes: Floats = np.exp(solved.x)
        return sizes
