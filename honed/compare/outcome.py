"""The result of a comparison: verdicts with their intervals, the trials, and the doubts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.experiment.draw import Failure, Metric
from honed.measures import MEASURES
from honed.notebook import Notebook
from honed.record import Doubt, Interval
from honed.statistics.paired import Estimate, Judgement, Kind

Ended = Literal["decided", "budget", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class ComparedTrial:
    """One process. `value` is its median latency in seconds, or its sequences per second.

    `counted` is false for a process that had to export its model first. `sentinel_s` is what the
    sentinel's computation took just before.
    """

    side: str
    block: int
    record: str
    status: str
    value: float | None
    sentinel_s: float | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One setting: the keys in which it differs from the others, and its trials together.
    `median` is over processes."""

    label: str
    case: Mapping[str, Any]
    differs: Mapping[str, str]
    trials: int
    median: float | None
    cosine_min: float | None
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One side against another. `ratio` is the metric of `side` divided by that of `against`.

    `budget_factor`: how many times the trials so far would probably decide; None if no number
    would, or if it is decided. `reason`: why nothing can be said, if not for the interval.
    """

    side: str
    against: str
    verdict: Kind
    ratio: Interval
    blocks: int
    budget_factor: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparison(Notebook):
    """The whole result. The store keeps the records of the trials under `sweep`."""

    sweep: str
    metric: Metric
    resolution: float
    slower_than: float | None
    budget_s: float
    ended: Ended
    sides: tuple[ComparedSide, ...]
    contrasts: tuple[Contrast, ...]
    trials: tuple[ComparedTrial, ...]
    elapsed_s: float
    seed: int = 0
    failure: Failure | None = None
    doubts: tuple[Doubt, ...] = field(default=())

    @property
    def verdict(self) -> str | None:
        """The verdict of the only contrast, or "failed"; None if there are several contrasts."""
        if self.failure is not None:
            return "failed"
        return self.contrasts[0].verdict if len(self.contrasts) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """The object of `honed compare --json`. `verdict` and `ratio` are those of the only
        contrast, null if there are several."""
        only = self.contrasts[0] if len(self.contrasts) == 1 else None
        head = {"verdict": self.verdict, "ratio": only and dataclasses.asdict(only.ratio)}
        body = dataclasses.asdict(dataclasses.replace(self, sides=()))
        body["sides"] = [
            {**{f.name: getattr(s, f.name) for f in dataclasses.fields(s)}, "case": dict(s.case)}
            for s in self.sides
        ]
        return head | body


def log_limit(share: float, metric: Metric) -> float:
    """The log of "slower by `share`" in the metric: 5 % more time, or 5 % less throughput."""
    less_is_better = MEASURES[metric].better == "less"
    return math.log1p(share) if less_is_better else -math.log1p(-share)


def ratio(slowdown: Estimate, metric: Metric) -> Interval:
    """The estimate as a ratio of the metric; no interval while its limits are infinite."""
    sign = 1 if MEASURES[metric].better == "less" else -1
    value = math.exp(sign * slowdown.log)
    if math.isinf(slowdown.half):
        return Interval(value)
    low, high = sorted((math.exp(sign * slowdown.low), math.exp(sign * slowdown.high)))
    return Interval(value, (low, high))


def contrast(
    sides: tuple[str, str], judgement: Judgement, metric: Metric, factor: float
) -> Contrast:
    """`factor`: how many times the trials so far would probably decide; infinite if none would."""
    undecided = judgement.kind == "undecided" and math.isfinite(factor)
    more, estimate = max(factor, 1.0) if undecided else None, judgement.estimate
    return Contrast(*sides, judgement.kind, ratio(estimate, metric), estimate.count, more)
