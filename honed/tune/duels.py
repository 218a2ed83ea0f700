"""Interleaved comparisons, put together: for each side its blocks' differences from the default.

Blocks of several comparisons may be joined: a confidence sequence holds at every look, for
whatever reason one looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from honed.compare.outcome import Comparison, Metric, log_time
from honed.compare.verdict import sequence
from honed.record import Interval
from honed.tune.bench import Bench
from honed.tune.outcome import Pooled
from honed.tune.space import Space
from honed.tune.trial import Point

_PERCENTILE_CALLS = 100  # what a 99th percentile takes


@dataclass(slots=True)
class Duels:
    """`differences[side]`: log of its time per call over the first side's, a number a block."""

    bench: Bench
    space: Space
    metric: Metric
    points: dict[str, Point] = field(default_factory=dict)
    differences: dict[str, list[float]] = field(default_factory=dict)
    records: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def compare(self, sides: Mapping[str, Point], budget_s: float) -> Comparison | None:
        """The sides in turns; one that fails is left out, and the others go on without it. None
        when the first failed, or nothing was left to hold against it."""
        first, *_ = sides
        ends_s = self.bench.clock_s() + budget_s
        while True:
            left = {k: at for k, at in sides.items() if k not in self.failed}
            now_s = ends_s - self.bench.clock_s()
            if len(left) < 2 or first not in left or (now_s <= 0 and budget_s > 0):
                return None
            cases = {k: self.space.case(at) for k, at in left.items()}
            found = self.bench.compare(cases, self.metric, max(1.0, now_s))
            self._remember(left, found)
            if found.failure is None or self.bench.clock_s() >= ends_s:
                return found  # what ran when the time was up has not failed by itself
            self.failed[found.failure.side] = found.failure.message

    def _remember(self, sides: Mapping[str, Point], found: Comparison) -> None:
        """Whole blocks only: each number is paired with the first side's."""
        blocks: dict[str, dict[int, float]] = {k: {} for k in sides}
        for trial in found.trials:
            if trial.counted and trial.value is not None:
                blocks[trial.side][trial.block] = log_time(trial.value, found.metric)
                self.records.setdefault(trial.side, []).append(trial.record)
        self.points |= sides
        first, *others = sides
        for side in others:
            shared = sorted(blocks[side].keys() & blocks[first].keys())
            own = self.differences.setdefault(side, [])
            own += [blocks[side][b] - blocks[first][b] for b in shared]

    def elapsed_s(self, at: Point) -> float | None:
        """What a process of a point takes; None if there was none."""
        sides = [side for side, own in self.points.items() if own == at]
        ids = [id for side in sides for id in self.records.get(side, ())]
        found = [r.elapsed_s for id in ids if (r := self.bench.record(id)) and r.elapsed_s]
        return float(np.median(found)) if found else None

    def log(self, side: str) -> float | None:
        """The mean log of its time over the first side's; zero for the first itself."""
        if side in self.points and side not in self.differences:
            return 0.0
        own = self.differences.get(side)
        return float(np.mean(own)) if own else None

    def error(self, one: str, other: str) -> float:
        """The standard error of the difference of two sides' logs, block by block."""
        own = [self.differences.get(side) for side in (one, other)]
        known = [d for d in own if d is not None]  # the first side's differences are all zero
        if one == other or not known:
            return 0.0
        pairs = list(zip(*known, strict=False))
        values = [p[0] - p[1] if len(p) == 2 else p[0] for p in pairs]
        return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0

    def gain(self, side: str) -> Interval:
        """How many times better than the first side, with its interval."""
        own = self.differences.get(side)
        if not own:
            return Interval(None)
        at = sequence(own)
        if math.isinf(at.high):
            return Interval(math.exp(-at.log))
        return Interval(math.exp(-at.log), (math.exp(-at.high), math.exp(-at.low)))

    def half(self, side: str) -> float:
        """Half the width of the interval, as a log."""
        own = self.differences.get(side)
        return sequence(own).half if own else math.inf

    def pooled(self, side: str) -> Pooled | None:
        """The side's processes together; memory is another pass's to tell."""
        records = [r for id in self.records.get(side, []) if (r := self.bench.record(id))]
        calls = [s for r in records if r.samples for own in r.samples.latency_s for s in own]
        if not calls:
            return None
        metrics = [r.metrics for r in records if r.metrics]
        rates = [v for m in metrics if (v := m.throughput_per_s.value) is not None]
        medians = [m.latency_s.p50 * 1e3 for m in metrics]
        values = medians if self.metric == "latency" else rates
        cosines = [r.fidelity.cosine_min for r in records if r.fidelity]
        tail = float(np.quantile(calls, 0.99)) * 1e3 if len(calls) >= _PERCENTILE_CALLS else None
        return Pooled(
            value=float(np.median(values)) if values else None,
            latency_p50_ms=float(np.median(calls)) * 1e3,
            latency_p99_ms=tail,
            memory_mib=None,
            cosine_min=min(cosines, default=None),
            records=tuple(r.id for r in records),
        )
