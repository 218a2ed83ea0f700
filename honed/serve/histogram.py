"""Histogram: how often a number fell into each bucket.

One request changes several of them, so they are plain lists, changed on the event loop alone. The
histograms of prometheus_client take a lock and look through their buckets one by one.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence

# The buckets of text-embeddings-inference: 15 us to 15 s, and powers of two.
SECONDS = tuple(1e-5 * 1.5**k for k in range(1, 36))
COUNTS = tuple(float(2**k) for k in range(15))
RATIOS = (0.1, 0.2, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.5, 5.0, 10.0)


class Histogram:
    """A histogram. `edges` are the upper bounds of the buckets, the smallest first."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)  # the last one: beyond every edge
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulated(self) -> list[tuple[str, float]]:
        """Each edge as Prometheus writes it, with how many values were at most so large."""
        names = [*(repr(float(edge)) for edge in self.edges), "+Inf"]
        return list(zip(names, map(float, itertools.accumulate(self.counts)), strict=True))


def merged(histograms: Iterable[Histogram], edges: Sequence[float]) -> Histogram:
    """One histogram of everything that was added to any of these."""
    whole = Histogram(edges)
    for each in histograms:
        whole.counts = [a + b for a, b in zip(whole.counts, each.counts, strict=True)]
        whole.total += each.total
    return whole
