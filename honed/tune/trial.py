"""Trial: one point of the search space measured once; and how trials compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType

from honed.knob import Value

# Searched key -> value. A key that is not there, or None, is untouched.
Point = Mapping[str, Value | None]


def point(settings: Point) -> Point:
    """The one spelling of a point: what is untouched is left out, the rest in order."""
    return MappingProxyType({k: v for k, v in sorted(settings.items()) if v is not None})


def words(settings: Point) -> tuple[str, ...]:
    """As one types it."""
    return tuple(
        f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in point(settings).items()
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured point. `status` is its Record's, or "running".

    `values` are the objectives' in their own units, in the order asked; empty without a result.
    `violations`: for each limit the share by which it is missed (zero or less: kept).
    `record` is the Record's id in the store, `stage` why this point was tried.
    """

    number: int
    stage: str
    point: Point
    status: str
    record: str | None = None
    values: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    violations: Mapping[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok" and bool(self.values)

    @property
    def feasible(self) -> bool:
        return self.ok and self.missed <= 0

    @property
    def missed(self) -> float:
        """The sum of the shares by which limits are missed."""
        return sum(max(0.0, v) for v in self.violations.values())

    @property
    def branch(self) -> tuple[str, str]:
        return str(self.point["backend"]), str(self.point["precision"])

    @property
    def setting(self) -> str:
        """The same for trials of the same point."""
        return " ".join(words(self.point))


@dataclass(frozen=True, slots=True)
class Setting:
    """One point with all its trials: each cost and violation is the median over them.

    `rank` orders settings: what has a result and keeps its limits first, the nearest to keeping
    them next, then by cost; several objectives count by the product of their costs.
    """

    point: Point
    trials: tuple[Trial, ...]
    costs: tuple[float, ...]
    violations: Mapping[str, float]

    @property
    def name(self) -> str:
        return " ".join(words(self.point))

    @property
    def branch(self) -> tuple[str, str]:
        return self.trials[0].branch

    @property
    def ok(self) -> bool:
        """A setting that failed once is not one to recommend, however well it did at times."""
        return all(t.ok for t in self.trials)

    @property
    def missed(self) -> float:
        return sum(max(0.0, v) for v in self.violations.values())

    @property
    def feasible(self) -> bool:
        return self.ok and self.missed <= 0

    @property
    def cost(self) -> float:
        """One number for all objectives: the geometric mean of their costs."""
        if not self.costs:
            return math.inf
        return math.exp(sum(math.log(max(c, 1e-300)) for c in self.costs) / len(self.costs))

    @property
    def rank(self) -> tuple[bool, float, float]:
        return not self.ok, self.missed, self.cost


def settings(trials: Sequence[Trial]) -> list[Setting]:
    """The ended trials by point, best first."""
    by_point: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.status not in ("running", "interrupted"):
            by_point.setdefault(trial.setting, []).append(trial)
    return sorted((_setting(own) for own in by_point.values()), key=lambda s: s.rank)


def _setting(trials: Sequence[Trial]) -> Setting:
    results = [t for t in trials if t.ok]
    costs = tuple(median(own) for own in zip(*(t.costs for t in results), strict=True))
    limits = {name for t in results for name in t.violations}
    violations = {
        name: median(t.violations[name] for t in results if name in t.violations)
        for name in sorted(limits)
    }
    return Setting(trials[0].point, tuple(trials), costs, violations)


def front(found: Sequence[Setting]) -> list[Setting]:
    """The feasible settings that no other one beats in every objective."""
    able = [s for s in found if s.feasible]
    return [s for s in able if not any(_dominates(other, s) for other in able)]


def _dominates(one: Setting, other: Setting) -> bool:
    pairs = list(zip(one.costs, other.costs, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
