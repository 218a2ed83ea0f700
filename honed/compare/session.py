"""The real thing: trials in fresh processes, kept as Records, between readings of the sentinel."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from honed.case import CORE_FIELDS, Case
from honed.compare.outcome import (
    Comparison,
    Contrast,
    Ended,
    Failure,
    Metric,
    Side,
    Trial,
    contrast,
    log_limit,
    log_time,
)
from honed.compare.settings import differing
from honed.errors import UsageError
from honed.experiment import blocks, sentinel
from honed.phase import Phase
from honed.record import Doubt, Record
from honed.run.parent import InterruptedRun, measure
from honed.statistics import paired
from honed.store import Store, open_store
from honed.workers.seat import seats

# A process costs seconds, a call milliseconds, and the noise between processes is the larger:
# many short processes beat few long ones. With 3 s per process and noise within of 1.5 times that
# between, the best length is 10 calls of a 150 ms step (Kalibera & Jones 2013, section 6).
_SHORT = {"duration_s": 0.7, "min_samples": 10, "warmup_s": 3.0}
_DEFAULTS = {f.name: f.default for f in CORE_FIELDS}
# Doubts of a single record that say nothing here: its tail is not used, its calls are few by plan.
_BY_PLAN = ("too_few", "spread", "first_call")
_DOUBTFUL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a comparison stands. Times are monotonic seconds."""

    trial: int
    side: str
    phase: Phase
    phase_began_s: float
    left_s: float
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True)
class How:
    """What is asked, and what it may cost. Shares: 0.02 is 2 %.

    `slower_than` asks only whether a side is slower by more than that. `store` is a database URL.
    """

    metric: Metric = "latency"
    resolution: float = 0.02
    slower_than: float | None = None
    budget_s: float = 600.0
    seed: int | None = None
    store: str | None = None
    on_progress: Callable[[Progress], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        for name in ("resolution", "slower_than"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise UsageError(f"{name} of {share:.0%} makes no sense", "between 0 % and 100 %")
        if self.budget_s <= 0:
            raise UsageError("the budget is nothing", "--budget 10m")

    @property
    def question(self) -> paired.Question:
        limit = None if self.slower_than is None else log_limit(self.slower_than, self.metric)
        return paired.Question(log_limit(self.resolution, "latency"), limit)


class TrialFailed(Exception):  # noqa: N818 - an outcome that ends the comparison, not a fault
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def compare(sides: Mapping[str, Case], how: How) -> Comparison:
    """Measure the sides in turns until the question is answered or the budget is spent.

    Raises UsageError for a side that cannot be started at all, before any is measured.
    """
    if len(sides) < 2:
        raise UsageError("there is nothing to compare with", "give two settings, A: and B:")
    with open_store(how.store) as store:
        session = Session({label: short(case) for label, case in sides.items()}, how, store)
        plan = blocks.Plan(tuple(sides), how.question, session.seed)
        ended: Ended = "decided"
        try:
            standing = blocks.run(plan, session.draw, session.go_on)
            if not standing.decided:
                ended = "budget"
        except TrialFailed as failed:
            return session.comparison("failed", failed.failure)
        except KeyboardInterrupt:
            ended = "interrupted"
        session.read_sentinel()
        return session.comparison(ended)


def short(case: Case) -> Case:
    """A trial of `case`: as long as is useful, unless its length was set."""
    unset = {k: v for k, v in _SHORT.items() if case.get(k) == _DEFAULTS[k]}
    return case.replace(memory=False, **unset)


class Session:
    """One comparison while it runs: draws trials, and remembers everything about them."""

    def __init__(self, sides: Mapping[str, Case], how: How, store: Store) -> None:
        self.sides = sides
        self.how = how
        self.sweep = secrets.token_hex(4)
        self.seed = secrets.randbits(32) if how.seed is None else how.seed
        self.trials: list[Trial] = []
        self.records: list[Record] = []
        self.contrasts: tuple[Contrast, ...] = ()
        self.readings_s: list[float] = []
        self._store = store
        self._began_s = self._phase_began_s = time.monotonic()
        self._phase = Phase.STARTING
        self._looked_s = self._began_s
        places = [seats(case) for case in sides.values()]  # refuses what cannot fit
        self._cpus = places[0][0].cpus

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def mean_trial_s(self) -> float:
        return self.elapsed_s / len(self.trials) if self.trials else 0.0

    def go_on(self, standing: blocks.Standing) -> bool:
        """Before each round: tell where it stands; False if the next would overrun the budget."""
        sides = tuple(self.sides)
        self.contrasts = tuple(
            contrast(
                (side, sides[0]), j, self.how.metric,
                paired.budget_factor(j.estimate, self.how.question),
            )
            for side, j in standing.judgements.items()
        )  # fmt: skip
        round_s, self._looked_s = time.monotonic() - self._looked_s, time.monotonic()
        return self.elapsed_s + round_s <= self.how.budget_s

    def draw(self, side: str, block: int) -> float:
        """One trial of `side`: the log of its time per call. Raises TrialFailed."""
        while True:
            self.read_sentinel()
            record = self._measured(side)
            # A process that exported its model first found another machine than the others.
            exported = record.metrics is not None and record.metrics.build_s > 0
            value = self._value(record)
            reading_s = self.readings_s[-1]
            self.trials.append(
                Trial(side, block, record.id, record.status, value, reading_s, not exported)
            )
            self.records.append(record)
            if value is None:
                raise TrialFailed(_failure(side, record))
            if not exported:
                return log_time(value, self.how.metric)

    def read_sentinel(self) -> None:
        self.readings_s.append(sentinel.read(self._cpus))

    def comparison(self, ended: Ended, failure: Failure | None = None) -> Comparison:
        differs = differing(self.sides)
        return Comparison(
            sweep=self.sweep,
            metric=self.how.metric,
            resolution=self.how.resolution,
            slower_than=self.how.slower_than,
            budget_s=self.how.budget_s,
            ended=ended,
            sides=tuple(self._side(label, differs[label]) for label in self.sides),
            contrasts=() if failure is not None else self.contrasts,
            trials=tuple(self.trials),
            elapsed_s=self.elapsed_s,
            seed=self.seed,
            failure=failure,
            doubts=(*self._drift(), *self._record_doubts()),
        )

    def _measured(self, side: str) -> Record:
        self._tell(side, Phase.STARTING)
        try:
            record = measure(self.sides[side], lambda phase: self._tell(side, phase))
        except InterruptedRun as stopped:
            self._store.append(stopped.record, sweep=self.sweep)
            raise
        self._store.append(record, sweep=self.sweep)
        return record

    def _tell(self, side: str, phase: Phase | None) -> None:
        if phase is not None:
            self._phase, self._phase_began_s = phase, time.monotonic()
        left_s = max(0.0, self.how.budget_s - self.elapsed_s)
        at = len(self.trials) + 1
        self.how.on_progress(
            Progress(at, side, self._phase, self._phase_began_s, left_s, self.contrasts)
        )

    def _value(self, record: Record) -> float | None:
        """None for a record that must not count: its outputs or settings are not what was asked
        for, or it has no result."""
        if not record.ok or record.metrics is None:
            return None
        if self.how.metric == "latency":
            return record.metrics.latency_s.p50
        return record.metrics.throughput_per_s.value

    def _counted(self, label: str) -> list[tuple[Trial, Record]]:
        both = zip(self.trials, self.records, strict=True)
        return [(t, r) for t, r in both if t.side == label and t.counted and t.value is not None]

    def _side(self, label: str, differs: Mapping[str, str]) -> Side:
        counted = self._counted(label)
        values = [t.value for t, _ in counted if t.value is not None]
        cosines = [r.fidelity.cosine_min for _, r in counted if r.fidelity is not None]
        return Side(
            label=label,
            case=self.sides[label].to_json(),
            differs=differs,
            trials=len(counted),
            median=float(np.median(values)) if values else None,
            cosine_min=min(cosines, default=None),
            records=tuple(t.record for t, _ in counted),
        )

    def _drift(self) -> list[Doubt]:
        around: dict[str, list[float]] = {label: [] for label in self.sides}
        after = self.readings_s[1:]
        for trial, next_s in zip(self.trials, after, strict=False):
            if trial.counted and trial.sentinel_s is not None:
                around[trial.side].append((trial.sentinel_s + next_s) / 2)
        return sentinel.doubts(self.readings_s, around)

    def _record_doubts(self) -> list[Doubt]:
        """What half of the trials, or more, were doubted for by themselves, said once."""
        both = [pair for label in self.sides for pair in self._counted(label)]
        kinds = Counter(d.kind for _, r in both for d in r.doubts)
        messages = {d.kind: d.message for _, r in both for d in r.doubts}
        return [
            Doubt(kind, f"in {times} of {len(both)} trials {messages[kind]}")
            for kind, times in kinds.items()
            if kind not in _BY_PLAN and times >= _DOUBTFUL_SHARE * len(both)
        ]


def _failure(side: str, record: Record) -> Failure:
    error = record.error
    message = error.message if error is not None else "the record has no such metric"
    hint = error.hint if error is not None else "--metric latency"
    return Failure(side, record.status, message, hint, record.id)
