"""Waits: how long texts of each length really waited, beside what the backlog alone says.

The backlog says how long all that waits will take. A text waits for less where it goes before
longer ones, and for more where shorter ones that come later go before it. How much so is learned
for each length class from the texts that were sent last.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

from honed.serve.dispatch.base import Rules

_WEIGHT = 0.05  # of the newest wait
_LEAST_S = 0.001  # shorter waits say nothing: they end by chance
_MOST = math.log(8.0)


class Waits:
    """The mean logarithm of actual over expected waits, by length class."""

    def __init__(self, rules: Rules) -> None:
        self._edges = rules.model.edges(rules.longest)
        self._logs = [0.0] * len(self._edges)

    def of(self, length: int, backlog_s: float) -> float:
        """The wait of a text that comes when the workers need `backlog_s` for all before it."""
        return backlog_s * math.exp(self._logs[self._class_of(length)])

    def longest_of(self, lengths: Iterable[int], backlog_s: float) -> float:
        """The longest wait of these texts."""
        return backlog_s * math.exp(max(self._logs[self._class_of(n)] for n in lengths))

    def learn(self, length: int, backlog_s: float, waited_s: float) -> None:
        """A text has waited; the backlog was this when it came."""
        if backlog_s < _LEAST_S:
            return
        place = self._class_of(length)
        found = math.log(max(waited_s, _LEAST_S / 10) / backlog_s)
        self._logs[place] += _WEIGHT * (min(max(found, -_MOST), _MOST) - self._logs[place])

    def _class_of(self, length: int) -> int:
        return min(bisect.bisect_left(self._edges, length), len(self._edges) - 1)
