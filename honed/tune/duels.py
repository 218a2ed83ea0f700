"""Settings measured in turns, kept block by block: one process of each side in every block.

Blocks of several comparisons may be joined: a confidence sequence holds at every look, for
whatever reason one looked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from honed.compare.outcome import Comparison, Metric, log_time
from honed.record import Interval, Record
from honed.statistics.paired import Estimate, planned, sequence
from honed.tune.bench import Bench
from honed.tune.outcome import Pooled
from honed.tune.space import Space
from honed.tune.trial import Point

_PERCENTILE_CALLS = 100  # what a 99th percentile takes
# Of one process, as a log: a few that happen to agree say nothing about the next.
_LEAST_NOISE = 0.01
# Of normal numbers: standard deviation over median absolute deviation, and the standard error of
# a median over that of a mean.
_OF_NORMAL, _OF_MEDIAN = 1.4826, 1.2533


@dataclass(frozen=True, slots=True)
class Draw:
    """One process: the log of its time per call, and its Record."""

    log: float
    record: str


Block = Mapping[str, Draw]


@dataclass(slots=True)
class Duels:
    bench: Bench
    space: Space
    metric: Metric
    points: dict[str, Point] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
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
        self.points |= sides
        blocks: dict[int, dict[str, Draw]] = {}
        for trial in found.trials:
            if trial.counted and trial.value is not None:
                draw = Draw(log_time(trial.value, found.metric), trial.record)
                blocks.setdefault(trial.block, {})[trial.side] = draw
        self.blocks += blocks.values()

    def log_of(self, record: Record) -> float | None:
        """What counts of one process; None if it has no result."""
        if not record.ok or record.metrics is None:
            return None
        throughput = record.metrics.throughput_per_s.value
        value = record.metrics.latency_s.p50 if self.metric == "latency" else throughput
        return None if value is None else log_time(value, self.metric)

    def records(self, sides: Iterable[str]) -> list[Record]:
        wanted = set(sides)
        ids = [draw.record for b in self.blocks for side, draw in b.items() if side in wanted]
        return [r for id in ids if (r := self.bench.record(id)) is not None]

    def elapsed_s(self, at: Point) -> float | None:
        """What a process of a point takes; None if there was none."""
        same = [side for side, own in self.points.items() if own == at]
        found = [r.elapsed_s for r in self.records(same) if r.elapsed_s]
        return float(np.median(found)) if found else None

    def differences(self, side: str, against: str) -> list[float]:
        """Logs of its time over the other's, a number for each block that has both."""
        both = [b for b in self.blocks if side in b and against in b]
        return [b[side].log - b[against].log for b in both]

    def behind(self, side: str, against: str) -> float:
        """The median of the differences, zero without any: a neighbour on the machine now and then
        slows one process by a tenth, and few blocks cannot outweigh that in a mean."""
        own = self.differences(side, against)
        return float(np.median(own)) if own else 0.0

    def error(self, side: str, against: str) -> float:
        """The standard error of `behind`, from the noise of all sides' processes: that of two
        settings alone would be guessed from a few numbers."""
        count = len(self.differences(side, against))
        return _OF_MEDIAN * self.noise() * math.sqrt(2 / count) if count else math.inf

    def noise(self) -> float:
        """How much processes of one setting differ, as a log's standard deviation: from how far
        the differences of every two sides, each with the noise of both, are from their median."""
        off: list[float] = []
        for pair in combinations(sorted({side for b in self.blocks for side in b}), 2):
            own = self.differences(*pair)
            off += [abs(d - float(np.median(own))) for d in own if len(own) > 1]
        spread = _OF_NORMAL * float(np.median(off)) / math.sqrt(2) if off else math.inf
        return max(_LEAST_NOISE, spread)

    def gain(self, side: str, against: str) -> Interval:
        """How many times better than the other, with its interval at any look."""
        own = self.differences(side, against)
        return _interval(sequence(own)) if own else Interval(None)

    def planned_gain(self, side: str, against: str, blocks: slice) -> Interval:
        """The same from blocks whose number was settled before the first."""
        fresh = Duels(self.bench, self.space, self.metric, blocks=self.blocks[blocks])
        own = fresh.differences(side, against)
        return _interval(planned(own)) if own else self.gain(side, against)

    def pooled(self, side: str, against: str) -> Pooled | None:
        """The side's processes together: those in turns with the other side, if there are any.
        Memory is another pass's to tell."""
        paired = [b for b in self.blocks if side in b and against in b]
        own = Duels(self.bench, self.space, self.metric, blocks=paired or self.blocks)
        return _pooled(own.records([side]), self.metric, self.calls_s(side))

    def calls_s(self, side: str) -> list[float]:
        """Every timed call of all its processes."""
        samples = [r.samples for r in self.records([side])]
        return [s for found in samples if found for own in found.latency_s for s in own]


def _interval(at: Estimate) -> Interval:
    """Of the slowdown's log: how many times faster."""
    limits = None if math.isinf(at.half) else (math.exp(-at.high), math.exp(-at.low))
    return Interval(math.exp(-at.log), limits)


def _pooled(records: Sequence[Record], metric: Metric, calls_s: Sequence[float]) -> Pooled | None:
    metrics = [r.metrics for r in records if r.metrics]
    if not calls_s or not metrics:
        return None
    rates = [v for m in metrics if (v := m.throughput_per_s.value) is not None]
    medians = [m.latency_s.p50 * 1e3 for m in metrics]
    values = medians if metric == "latency" else rates
    cosines = [r.fidelity.cosine_min for r in records if r.fidelity]
    tail = float(np.quantile(calls_s, 0.99)) * 1e3 if len(calls_s) >= _PERCENTILE_CALLS else None
    return Pooled(
        value=float(np.median(values)) if values else None,
        latency_p50_ms=float(np.median(calls_s)) * 1e3,
        latency_p99_ms=tail,
        memory_mib=None,
        cosine_min=min(cosines, default=None),
        records=tuple(r.id for r in records),
    )
