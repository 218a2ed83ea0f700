"""What a report draws of a tuning study: plain data, made by whoever tunes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Literal

from honed.knob import Value
from honed.record import Interval, Record
from honed.show.say import word

UNTOUCHED = "as it comes"
_LEFT = ("running", "interrupted")  # neither results nor failures


@dataclass(frozen=True, slots=True)
class Goal:
    """One objective, in the unit that a person reads."""

    name: str
    unit: str
    better: Literal["less", "more"]

    @property
    def title(self) -> str:
        return f"{self.name.capitalize()}, {self.unit}"

    def best(self, values: Sequence[float]) -> float:
        return min(values) if self.better == "less" else max(values)

    def beats(self, one: float, other: float) -> bool:
        return one < other if self.better == "less" else one > other


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial. `point` has only the searched keys that were set; `setting` names it.

    `values` are the goals', empty without a result; `feasible`: a result that keeps every limit.
    """

    number: int
    stage: str
    setting: str
    point: Mapping[str, Value | None]
    status: str
    values: tuple[float, ...] = ()
    feasible: bool = False
    record: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """All trials of one setting: the median of each value."""

    setting: str
    point: Mapping[str, Value | None]
    values: tuple[float, ...]
    feasible: bool
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """The default or the recommendation: its setting, and its records of the last measurement."""

    setting: str
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gained:
    """What one setting of the recommendation is worth: times better with it than without."""

    setting: str
    gain: Interval
    kept: bool
    why: str = ""


@dataclass(frozen=True)
class StudyFacts:
    """`axes`: every searched key and its values in order, None untouched. `headline` says what
    came out; `gain` is the recommendation over the default, over 1 is better."""

    name: str
    goals: tuple[Goal, ...]
    trials: tuple[Tried, ...]
    axes: Mapping[str, tuple[Value | None, ...]]
    headline: str = ""
    limits: tuple[str, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    default: Side | None = None
    best: Side | None = None
    gain: Interval = field(default_factory=lambda: Interval(None))
    earned: tuple[Gained, ...] = ()

    @cached_property
    def ended(self) -> tuple[Tried, ...]:
        return tuple(t for t in self.trials if t.status not in _LEFT)

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """The settings that gave a result every time, in the order that they were first tried."""
        groups: dict[str, list[Tried]] = {}
        for trial in self.ended:
            groups.setdefault(trial.setting, []).append(trial)
        return tuple(_spot(own) for own in groups.values() if all(t.values for t in own))

    @property
    def compared(self) -> tuple[str, ...]:
        """The records of the last measurement, which are no trials."""
        return tuple(id for side in (self.default, self.best) if side for id in side.records)

    def drawn(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """The records of its trials, those that are there."""
        ids = {t.record for t in self.trials}
        return tuple(r for r in records if r.id in ids)


def _spot(trials: Sequence[Tried]) -> Spot:
    return Spot(
        trials[0].setting,
        trials[0].point,
        tuple(median(own) for own in zip(*(t.values for t in trials), strict=True)),
        all(t.feasible for t in trials),
        tuple(t.record for t in trials if t.record is not None),
    )


def value_word(value: Value | None) -> str:
    """A setting's value as one reads it on an axis."""
    return UNTOUCHED if value is None else word(value)


def setting_word(key: str, value: Value | None) -> str:
    """`threads=2`, and `threads as it comes`."""
    return f"{key} {UNTOUCHED}" if value is None else f"{key}={word(value)}"


def front(
    values: Sequence[tuple[float, ...]], beats: Sequence[Callable[[float, float], bool]]
) -> list[int]:
    """Which of them no other one beats in every value; `beats` says of each which is better."""

    def dominated(one: tuple[float, ...], by: tuple[float, ...]) -> bool:
        pairs = list(zip(one, by, beats, strict=True))
        worse = any(better(a, b) for a, b, better in pairs)
        return not worse and any(better(b, a) for a, b, better in pairs)

    return [i for i, own in enumerate(values) if not any(dominated(own, v) for v in values)]
