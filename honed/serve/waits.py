"""Waits: how long texts of each length really waited, beside what the backlog alone says.

The backlog says how long all that waits will take. A text waits for less where it goes before
longer ones, and for more where shorter ones that come later go before it. How much so is learned
for each length class from the texts that were sent last.

Admission asks for the wait of the class that waits longest, among those that came lately. If each
class had only its own wait against the limit, an overload of short texts would keep the backlog
where they are still admitted and long ones never are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

from honed.serve.dispatch.base import Rules

_WEIGHT = 0.05  # of the newest wait
_LEAST_S = 0.001  # shorter waits say nothing: they end by chance
_MOST = math.log(8.0)
_LATELY_S = 10.0  # classes and requests that came within this time count for admission


class Waits:
    """The mean logarithm of actual over expected waits, by length class."""

    def __init__(self, rules: Rules) -> None:
        self._edges = rules.model.edges(rules.longest)
        self._logs = [0.0] * len(self._edges)
        self._learned = [False] * len(self._edges)
        self._came_s = [-math.inf] * len(self._edges)
        self._longest_s = RecentMaximum()

    def of(self, length: int, backlog_s: float) -> float:
        """The wait of a text that comes when the workers need `backlog_s` for all before it."""
        return backlog_s * math.exp(self._logs[self._class_of(length)])

    def came(self, lengths: Iterable[int], takes_s: float, now_s: float) -> None:
        """A request came, whether or not it will be admitted; computing it takes `takes_s`."""
        for length in lengths:
            self._came_s[self._class_of(length)] = now_s
        self._longest_s.add(takes_s, now_s)

    def to_answer(self, lengths: Iterable[int], backlog_s: float, now_s: float) -> float:
        """The wait of the class that waits longest: of these texts, or of those that came lately.

        A class of which nothing was ever computed counts for its own texts alone.
        """
        places = {self._class_of(length) for length in lengths}
        lately_s = now_s - _LATELY_S
        places.update(
            place
            for place, came_s in enumerate(self._came_s)
            if came_s >= lately_s and self._learned[place]
        )
        return backlog_s * math.exp(max(self._logs[place] for place in places))

    def takes(self, takes_s: float, limit_s: float, now_s: float) -> float:
        """For how long a request counts against the limit: as the longest one that came lately.

        Otherwise small requests would keep the backlog where a large one never fits. A request of
        more than half of the limit counts for itself alone.
        """
        return max(takes_s, min(self._longest_s.most(now_s), limit_s / 2))

    def learn(self, length: int, backlog_s: float, waited_s: float) -> None:
        """A text has waited; the backlog was this when it came."""
        if backlog_s < _LEAST_S:
            return
        place = self._class_of(length)
        found = math.log(max(waited_s, _LEAST_S / 10) / backlog_s)
        self._logs[place] += _WEIGHT * (min(max(found, -_MOST), _MOST) - self._logs[place])
        self._learned[place] = True

    def _class_of(self, length: int) -> int:
        return min(bisect.bisect_left(self._edges, length), len(self._edges) - 1)


class RecentMaximum:
    """The largest of the numbers that came within the last `_LATELY_S` to twice that."""

    def __init__(self) -> None:
        self._began_s = -math.inf
        self._before = self._now = 0.0

    def add(self, number: float, now_s: float) -> None:
        self._turn(now_s)
        self._now = max(self._now, number)

    def most(self, now_s: float) -> float:
        self._turn(now_s)
        return max(self._before, self._now)

    def _turn(self, now_s: float) -> None:
        """After each period the numbers before the last one are forgotten."""
        if now_s - self._began_s < _LATELY_S:
            return
        self._before = self._now if now_s - self._began_s < 2 * _LATELY_S else 0.0
        self._began_s, self._now = now_s, 0.0
