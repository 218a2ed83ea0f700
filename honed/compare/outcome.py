"""What a comparison found: the verdicts, what they rest on, and what speaks against them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.record import Doubt, Interval
from honed.statistics.paired import Estimate, Judgement, Kind

Metric = Literal["latency", "throughput"]
METRICS: tuple[Metric, ...] = ("latency", "throughput")
Ended = Literal["decided", "budget", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One process. `value` is its median latency in seconds, or its sequences per second.

    `counted` is false for one that had to export its model first: not a process like the others.
    """

    side: str
    block: int
    record: str
    status: str
    value: float | None
    sentinel_s: float | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Side:
    """One setting: what sets it apart, and its trials summed up. `median` is over processes."""

    label: str
    case: Mapping[str, Any]
    differs: Mapping[str, str]
    trials: int
    median: float | None
    cosine_min: float | None
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One side held against another. `ratio` is side / against, of the metric.

    `budget_factor`: how many times the trials so far would probably decide; None if none would,
    or if it is decided. `reason`: why nothing can be said, if that is not the interval.
    """

    side: str
    against: str
    verdict: Kind
    ratio: Interval
    blocks: int
    budget_factor: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """The trial that ended the comparison."""

    side: str
    status: str
    message: str
    hint: str
    record: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything; `sweep` is the name under which the store keeps the trials' records."""

    sweep: str
    metric: Metric
    resolution: float
    slower_than: float | None
    budget_s: float
    ended: Ended
    sides: tuple[Side, ...]
    contrasts: tuple[Contrast, ...]
    trials: tuple[Trial, ...]
    elapsed_s: float
    seed: int = 0
    failure: Failure | None = None
    doubts: tuple[Doubt, ...] = field(default=())

    @property
    def verdict(self) -> str | None:
        """The only contrast's, or "failed"; None where there are several to choose from."""
        if self.failure is not None:
            return "failed"
        return self.contrasts[0].verdict if len(self.contrasts) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """`verdict` and `ratio` are those of the only contrast; null if there are several."""
        sole = self.contrasts[0] if len(self.contrasts) == 1 else None
        head = {"verdict": self.verdict, "ratio": sole and dataclasses.asdict(sole.ratio)}
        body = dataclasses.asdict(dataclasses.replace(self, sides=()))
        body["sides"] = [
            {**{f.name: getattr(s, f.name) for f in dataclasses.fields(s)}, "case": dict(s.case)}
            for s in self.sides
        ]
        return head | body


def log_time(value: float, metric: Metric) -> float:
    """The log of the time per call or sequence: larger is slower."""
    return math.log(value) if metric == "latency" else -math.log(value)


def log_limit(share: float, metric: Metric) -> float:
    """The log of "slower by `share`", as the metric says it: 5 % more time, or 5 % less done."""
    return math.log1p(share) if metric == "latency" else -math.log1p(-share)


def ratio(at: Estimate, metric: Metric) -> Interval:
    """The estimate as a ratio of the metric; no interval while it has infinite limits."""
    sign = 1 if metric == "latency" else -1
    value = math.exp(sign * at.log)
    if math.isinf(at.high) or math.isinf(at.low):
        return Interval(value)
    low, high = sorted((math.exp(sign * at.low), math.exp(sign * at.high)))
    return Interval(value, (low, high))


def contrast(
    sides: tuple[str, str], judgement: Judgement, metric: Metric, factor: float
) -> Contrast:
    """`factor`: how many times the trials so far would probably decide."""
    side, against = sides
    undecided = judgement.kind == "undecided" and math.isfinite(factor)
    return Contrast(
        side=side,
        against=against,
        verdict=judgement.kind,
        ratio=ratio(judgement.estimate, metric),
        blocks=judgement.estimate.count,
        budget_factor=max(factor, 1.0) if undecided else None,
    )
