"""Decide from the times of its calls when a process is warm."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

TOLERANCE = 0.025  # processes of one Case differ by about 5 %: half of that is settled enough
_MIN_CALLS = 3  # per window, and before the limit counts: one slow recompilation is no warm-up
_WINDOWS_IN_LIMIT = 20  # a window spans a twentieth of the limit: 0.5 s of the default 10 s
_BLOCKS = 24
_TREND_Z = 2.0
_TREND_SHARE = 0.01


class Steadiness:
    """Takes the time of each warm-up call, and decides when the warm-up is over.

    `settled`: the medians of the last two windows are within 2.5 % of each other and the times do
    not fall from one to the other. `over` without `settled`: the limit came first.
    It sums the times itself and reads no clock, so the same times always give the same answer.
    """

    def __init__(self, limit_s: float, cycle: int = 1) -> None:
        """`cycle`: how many inputs of different lengths take turns."""
        self.limit_s = limit_s
        self._cycle = cycle
        self.settled = False
        self.elapsed_s = 0.0
        self._latencies_s: list[float] = []
        self._next_look = 2 * _MIN_CALLS

    @property
    def calls(self) -> int:
        return len(self._latencies_s)

    @property
    def over(self) -> bool:
        if self.limit_s <= 0 or self.settled:
            return True
        return self.calls >= _MIN_CALLS and self.elapsed_s >= self.limit_s

    def add(self, latency_s: float) -> None:
        """Add a call. The windows are compared only now and then, so that adding stays cheap."""
        self._latencies_s.append(latency_s)
        self.elapsed_s += latency_s
        if self.settled or self.calls < self._next_look:
            return
        self._next_look = self.calls + 1 + self.calls // 20
        size = self._window_size()
        if size is not None:
            before = self._latencies_s[-2 * size : -size]
            self.settled = _alike(before, self._latencies_s[-size:])

    def _window_size(self) -> int | None:
        """How many of the last calls span a window; None while two windows do not fit."""
        span_s, size = 0.0, 0
        for latency_s in reversed(self._latencies_s):
            span_s, size = span_s + latency_s, size + 1
            if size >= _MIN_CALLS and span_s >= self.limit_s / _WINDOWS_IN_LIMIT:
                break
        else:
            return None
        if self._cycle <= 4 * size:  # whole turns compare like with like, if there is time for it
            size = math.ceil(size / self._cycle) * self._cycle
        return size if 2 * size <= self.calls else None


def _alike(before: Sequence[float], after: Sequence[float]) -> bool:
    first, last = statistics.median(before), statistics.median(after)
    if abs(last - first) > TOLERANCE * first:
        return False
    return first - last <= _TREND_SHARE * first or not _falls([*before, *after])


def _falls(values: Sequence[float]) -> bool:
    """Whether the times fall, by the Mann-Kendall test (Mann 1945) on medians of blocks."""
    size = math.ceil(len(values) / _BLOCKS)
    blocks = [statistics.median(values[i : i + size]) for i in range(0, len(values), size)]
    n = len(blocks)
    score = sum(
        (blocks[j] > blocks[i]) - (blocks[j] < blocks[i])
        for i in range(n)
        for j in range(i + 1, n)
    )
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return (score + 1) / deviation < -_TREND_Z
