"""The data of a tuning study: settings, trials, and the outcome. `tune` makes them, reports read
them, and `honed.plain` writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any, Literal

from honed.knob import Value
from honed.notebook import Notebook
from honed.record import Interval, Record
from honed.values import UNTOUCHED, as_typed, typed_words

Ended = Literal["budget", "trials", "exhausted", "interrupted"]
Source = Literal["in turns", "by one trial each"]
IN_TURNS: Source = "in turns"
BY_TRIALS: Source = "by one trial each"
_NO_RESULT = ("running", "interrupted")  # neither results nor failures


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Setting(Mapping[str, Value]):
    """The searched keys that are set, in alphabetical order. A key that is missing is untouched:
    None as a value is left out."""

    _values: Mapping[str, Value]

    def __init__(self, values: Mapping[str, Value | None]) -> None:
        ordered = {k: v for k, v in sorted(values.items()) if v is not None}
        object.__setattr__(self, "_values", ordered)

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Setting({self.name})"

    @property
    def name(self) -> str:
        """`backend=torch precision=fp32 threads=2`, for people."""
        return " ".join(typed_words(self))

    @property
    def branch(self) -> tuple[str, str]:
        """The engine and the precision, which have a search of their own."""
        return str(self["backend"]), str(self["precision"])

    def without(self, *keys: str) -> Setting:
        return Setting({k: v for k, v in self.items() if k not in keys})

    def changed(self, **values: Value | None) -> Setting:
        """A copy with other values; None unsets a key. `changed(**{"openvino.streams": 2})`."""
        return Setting({**self, **values})

    def __to_plain__(self) -> dict[str, Value]:
        return dict(self)

    @classmethod
    def __from_plain__(cls, data: Mapping[str, Any]) -> Setting:
        return cls(data)


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting measured once. `status` is the status of its Record, or "running".

    `values` are the objectives in the units that people read, in the order in which they were
    given; empty without a result. `costs` are the same numbers with less being better.
    `violations`: the share by which each limit is missed (zero or less: the limit is kept).
    `record` is the id of the Record, `stage` the stage of the search that proposed the trial.
    `once_s` of `elapsed_s` went into what later trials find made: the model, references, exports.
    """

    number: int
    stage: str
    setting: Setting
    status: str
    record: str | None = None
    values: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    violations: Mapping[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    message: str = ""
    once_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == "ok" and bool(self.values)

    @property
    def ended(self) -> bool:
        return self.status not in _NO_RESULT

    @property
    def process_s(self) -> float:
        """The time that another process of the setting takes."""
        return max(0.0, self.elapsed_s - self.once_s)

    @property
    def missed(self) -> float:
        """The sum of the shares by which limits are missed."""
        return sum(max(0.0, v) for v in self.violations.values())

    @property
    def feasible(self) -> bool:
        """There is a result, and it keeps every limit."""
        return self.ok and self.missed <= 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting with all its ended trials: each value, cost and violation is their median."""

    setting: Setting
    trials: tuple[Trial, ...]
    values: tuple[float, ...]
    costs: tuple[float, ...]
    violations: Mapping[str, float]

    @property
    def ok(self) -> bool:
        """A setting that failed once is not recommended, however fast its other trials were."""
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
        """Less is better: settings with a result first, then those that miss limits the least,
        then the cheapest."""
        return not self.ok, self.missed, self.cost

    @property
    def records(self) -> tuple[str, ...]:
        return tuple(t.record for t in self.trials if t.record is not None)


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """The ended trials grouped by setting, the best setting first."""
    groups: dict[Setting, list[Trial]] = {}
    for trial in trials:
        if trial.ended:
            groups.setdefault(trial.setting, []).append(trial)
    return sorted((_candidate(group) for group in groups.values()), key=lambda c: c.rank)


def _candidate(trials: Sequence[Trial]) -> Candidate:
    results = [t for t in trials if t.ok]
    values = tuple(map(median, zip(*(t.values for t in results), strict=True)))
    costs = tuple(map(median, zip(*(t.costs for t in results), strict=True)))
    limits = sorted({name for t in results for name in t.violations})
    violations = {
        name: median(t.violations[name] for t in results if name in t.violations)
        for name in limits
    }
    return Candidate(trials[0].setting, tuple(trials), values, costs, violations)


def pareto_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Which rows no other row beats in every column; less is better in each."""

    def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
        pairs = list(zip(one, other, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    return [i for i, row in enumerate(costs) if not any(dominates(other, row) for other in costs)]


def front(of: Sequence[Candidate]) -> list[Candidate]:
    """The feasible candidates that no other one beats in every objective."""
    feasible = [c for c in of if c.feasible]
    return [feasible[i] for i in pareto_front([c.costs for c in feasible])]


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of the path from the default to the recommendation: a key gets its value.

    `gain`: how many times better the setting after the step is than the one before it. `source`
    says what the gain was measured with. Where the setting between two steps cannot run, both keys
    change together: `backend+precision` gets `ctranslate2+int8`. A value of None is untouched.
    """

    key: str
    value: Value | None
    gain: Interval
    source: Source

    @property
    def name(self) -> str:
        """`backend=openvino precision=int8`, for people."""
        keys = self.key.split("+")
        if self.value is None:
            return f"{self.key} {UNTOUCHED}"
        values = [self.value] if len(keys) == 1 else str(self.value).split("+")
        return " ".join(f"{k}={as_typed(v)}" for k, v in zip(keys, values, strict=False))


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where no setting keeps all limits: the setting that misses them by the least."""

    point: Setting
    limit: str
    missed_by: float  # as a share of the limit
    record: str | None


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One setting of the Pareto front, with the objectives in the units that people read."""

    point: Setting
    values: tuple[float, ...]
    record: str | None


@dataclass(frozen=True, slots=True)
class Pooled:
    """The processes of one setting in the last comparison in turns: `value` is the median over
    the processes, the percentiles are over the calls of all of them."""

    value: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    memory_mib: float | None
    cosine_min: float | None
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome(Notebook):
    """The end of a study, and the last object of `honed tune --json`.

    `point` is the recommended setting, under the name that it has in the JSON. `gain` is best over
    default: more than 1 is better. `steps` lead from the default to `point`, and their product is
    the gain; `dropped` are the steps further, to settings whose gain was not proven. `importances`
    holds each key's share of the variance of the cost; None where noise explains it.
    """

    study: str
    ended: Ended
    objectives: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    trials: int = 0
    failed: int = 0
    default: Record | None = None
    best: Record | None = None
    point: Setting | None = None
    gain: Interval = field(default_factory=lambda: Interval(None))
    default_pooled: Pooled | None = None
    best_pooled: Pooled | None = None
    steps: tuple[PathStep, ...] = ()
    dropped: tuple[PathStep, ...] = ()
    importances: Mapping[str, float | None] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    nearest: Nearest | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """One objective, in the unit that people read."""

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
class Axis:
    """One searched key. `start` is the value of a setting that leaves the key out; `owner` is the
    engine whose knob it is, empty for every other key. None among `values` is untouched."""

    key: str
    values: tuple[Value | None, ...]
    start: Value | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """The default or the recommendation, with its records of the last comparison."""

    setting: Setting
    records: tuple[str, ...]


@dataclass(frozen=True)
class StudyFacts(Notebook):
    """All that a report needs of a study; no `outcome` and no `headline` until it has ended."""

    name: str
    goals: tuple[Goal, ...]
    trials: tuple[Trial, ...]
    axes: Mapping[str, Axis]
    default_setting: Setting
    limits: tuple[str, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None
    headline: str = ""

    @cached_property
    def ended(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.trials if t.ended)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The settings that gave a result every time, in the order of their first trials."""
        able = (c for c in candidates(self.trials) if c.ok)
        return tuple(sorted(able, key=lambda c: c.trials[0].number))

    @property
    def default(self) -> Side | None:
        of = self.outcome
        return _side(self.default_setting, of.default_pooled, of.default) if of else None

    @property
    def best(self) -> Side | None:
        of = self.outcome
        if of is None or of.point is None:
            return None
        return _side(of.point, of.best_pooled, of.best)

    @property
    def gain(self) -> Interval:
        return self.outcome.gain if self.outcome else Interval(None)

    @property
    def steps(self) -> tuple[PathStep, ...]:
        return self.outcome.steps if self.outcome else ()

    @property
    def compared(self) -> tuple[str, ...]:
        """The ids of the records of the last comparison, which are not trials."""
        return tuple(id for side in (self.default, self.best) if side for id in side.records)

    def whole(self, setting: Setting) -> dict[str, Value | None]:
        """The value of every axis that applies to the engine of `setting`: what the setting leaves
        out has the start of its axis."""
        engine = setting.branch[0]
        starts = {k: a.start for k, a in self.axes.items() if a.owner in ("", engine)}
        return {**starts, **setting}

    def drawn(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """The records of the trials, as far as they are among `records`."""
        ids = {t.record for t in self.trials}
        return tuple(r for r in records if r.id in ids)


def _side(setting: Setting, pooled: Pooled | None, record: Record | None) -> Side | None:
    records = pooled.records if pooled else ()
    ids = records or ((record.id,) if record else ())
    return Side(setting, ids) if ids else None
