"""What is wanted of a setting: objectives to be made good, limits to be kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from honed.compare.outcome import Metric
from honed.errors import UsageError, did_you_mean
from honed.measures import MEASURES, parse_limit
from honed.measures import Limit as MeasureLimit
from honed.record import Record

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Objective:
    """One quantity of a Record, in the unit that a person reads.

    `needs` are Case fields that a trial must have for it. `timing` is what an interleaved
    comparison measures of it; None: the value follows from the setting, not from luck.
    """

    name: str
    unit: str
    better: Literal["less", "more"]
    timing: Metric | None
    needs: Mapping[str, bool]
    read: Callable[[Record, float | None], float | None]

    def cost(self, value: float) -> float:
        """The value so that less is better and ratios compare."""
        return value if self.better == "less" else 1 / value if value > 0 else math.inf


def _latency(record: Record, _: float | None) -> float | None:
    return record.metrics.latency_s.p50 * 1e3 if record.metrics else None


def _throughput(record: Record, _: float | None) -> float | None:
    return record.metrics.throughput_per_s.value if record.metrics else None


def _memory(record: Record, _: float | None) -> float | None:
    return MEASURES["memory"].shown(record)


def _cost(record: Record, price_per_h: float | None) -> float | None:
    """Per million sequences, in the currency of the price."""
    return MEASURES["cost"].priced(price_per_h).value(record)


OBJECTIVES: Mapping[str, Objective] = {
    o.name: o
    for o in (
        Objective("latency", "ms", "less", "latency", {}, _latency),
        Objective("throughput", "sequences/s", "more", "throughput", {}, _throughput),
        Objective("memory", "MiB", "less", None, {"memory": True}, _memory),
        Objective("cost", "per million sequences", "less", "throughput", {}, _cost),
    )
}


@dataclass(frozen=True, slots=True)
class Limit:
    """`latency_p99_ms<=50`: what a setting must keep to be chosen."""

    own: MeasureLimit

    def __str__(self) -> str:
        return str(self.own)

    @property
    def quantity(self) -> str:
        return self.own.name

    @property
    def needs_memory(self) -> bool:
        return self.own.measure.needs_memory

    def violation(self, record: Record) -> float | None:
        """By which share the limit is missed; zero or less: kept; None: not known."""
        return self.own.violation(record)

    def missed_by(self, value: float) -> float:
        return self.own.missed_by(value)

    def kept_by(self, value: float) -> bool:
        return self.missed_by(value) <= 0


def limit(text: str) -> Limit:
    """`NAME<=NUMBER`, as `honed run --limit` takes it."""
    return Limit(parse_limit(text))


def objectives(text: str) -> tuple[Objective, ...]:
    """`throughput`, or several with commas: their Pareto front."""
    names = [n.strip() for n in text.split(",") if n.strip()]
    for name in names:
        if name not in OBJECTIVES:
            near = did_you_mean(name, OBJECTIVES)
            hint = f"{near} known: {', '.join(OBJECTIVES)}".strip()
            raise UsageError(f"no objective is called {name!r}", hint)
    if not names or len(set(names)) < len(names):
        raise UsageError(f"objective={text} says nothing", "objective=latency,throughput")
    return tuple(OBJECTIVES[n] for n in names)
