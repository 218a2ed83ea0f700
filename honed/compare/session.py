"""A comparison while it runs: an experiment with a sentinel, its progress, and its result."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from honed.case import Case
from honed.compare.outcome import (
    ComparedSide,
    ComparedTrial,
    Comparison,
    Contrast,
    Ended,
    contrast,
    log_limit,
)
from honed.compare.settings import differing
from honed.errors import UsageError, did_you_mean
from honed.experiment import sentinel
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Experiment, Failure, Metric, TrialFailed
from honed.experiment.policy import COMPARE
from honed.experiment.turns import Terms, UntilDecided, end_all, take_turns
from honed.measures import COMPARED
from honed.phase import Phase
from honed.record import Doubt
from honed.run.lab import Lab
from honed.statistics.paired import Question, budget_factor
from honed.workers.seat import seats

# Doubts about a single record that do not matter here: the tail of a short process is not used.
_IRRELEVANT = ("too_few", "spread", "first_call")
_DOUBTFUL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class CompareProgress:
    """How far a comparison is. `phase_s` is how long the worker's present phase has taken."""

    trial: int
    side: str
    phase: Phase
    phase_s: float
    left_s: float
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The question and the time for it. Shares: 0.02 is 2 %.

    With `slower_than` the only question is whether a side is slower by more than that share.
    `read_sentinel` times a fixed computation on the given cores.
    """

    metric: Metric = "latency"
    resolution: float = 0.02
    slower_than: float | None = None
    budget_s: float = 600.0
    seed: int | None = None
    on_progress: Callable[[CompareProgress], None] = lambda _: None
    read_sentinel: Callable[[Sequence[int]], float] = sentinel.read

    def __post_init__(self) -> None:
        if self.metric not in COMPARED:
            hint = did_you_mean(self.metric, COMPARED) or f"known: {', '.join(COMPARED)}"
            raise UsageError(f"settings cannot be compared by {self.metric!r}", hint)
        for name in ("resolution", "slower_than"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise UsageError(
                    f"{name} of {share:.0%} makes no sense", "give more than 0 and less than 100 %"
                )
        if self.budget_s <= 0:
            raise UsageError("the budget is no time at all", "--budget 10m")

    @property
    def question(self) -> Question:
        limit = None if self.slower_than is None else log_limit(self.slower_than, self.metric)
        return Question(log_limit(self.resolution, "latency"), limit)


def compare(sides: Mapping[str, Case], options: CompareOptions, lab: Lab) -> Comparison:
    """Measure the sides in turns until the question is answered or the budget is spent.

    Raises UsageError before anything is measured if a side cannot be started at all.
    """
    if len(sides) < 2:
        raise UsageError("there is nothing to compare with", "give two settings, A: and B:")
    cases = {label: COMPARE.short(case) for label, case in sides.items()}
    session = Session(cases, options, lab)
    first, *others = sides
    rule = UntilDecided(options.question, first, others)
    until_s = session.began_s + options.budget_s
    terms = Terms(until_s, least_blocks=2, seed=session.seed, on_failure=end_all)
    session.judged = lambda: _contrasts(rule, options)
    ended: Ended
    try:
        ended = take_turns(session.experiment, session.blocks, rule, terms)
    except TrialFailed as failed:
        return session.comparison("failed", failed.failure)
    except KeyboardInterrupt:
        ended = "interrupted"
    session.read_sentinel()
    return session.comparison(ended)


def _contrasts(rule: UntilDecided, options: CompareOptions) -> tuple[Contrast, ...]:
    return tuple(
        contrast(
            (side, rule.first), j, options.metric, budget_factor(j.estimate, options.question)
        )
        for side, j in rule.judgements.items()
    )


@dataclass(slots=True)
class Session:
    """The experiment behind a comparison. `judged` gives the contrasts as they stand."""

    cases: Mapping[str, Case]
    options: CompareOptions
    lab: Lab
    judged: Callable[[], tuple[Contrast, ...]] = tuple
    seed: int = field(init=False)
    began_s: float = field(init=False)
    blocks: PairedBlocks = field(init=False)
    experiment: Experiment = field(init=False)
    readings_s: list[float] = field(default_factory=list)  # of the sentinel, one before each trial
    _cpus: Sequence[int] = field(init=False)
    _phase: tuple[Phase, float] = field(init=False)  # and since when

    def __post_init__(self) -> None:
        # Every Case is placed before anything is measured: one that does not fit is refused.
        places = [seats(case) for case in self.cases.values()]
        self._cpus = places[0][0].cpus
        self.seed = secrets.randbits(32) if self.options.seed is None else self.options.seed
        self.began_s = self.lab.clock_s()
        self._phase = (Phase.STARTING, self.began_s)
        self.blocks = PairedBlocks(dict(self.cases))
        self.experiment = Experiment(
            self.lab, secrets.token_hex(4), self.options.metric,
            before=self.read_sentinel, on_phase=self._report,
        )  # fmt: skip

    @property
    def elapsed_s(self) -> float:
        return self.lab.clock_s() - self.began_s

    @property
    def mean_trial_s(self) -> float:
        count = len(self.experiment.processes)
        return self.elapsed_s / count if count else 0.0

    def read_sentinel(self) -> None:
        self.readings_s.append(self.options.read_sentinel(self._cpus))

    def _report(self, side: str, phase: Phase | None) -> None:
        now_s = self.lab.clock_s()
        if phase is not None:
            self._phase = (phase, now_s)
        present, since_s = self._phase
        trial = len(self.experiment.processes) + 1
        left_s = max(0.0, self.options.budget_s - self.elapsed_s)
        self.options.on_progress(
            CompareProgress(trial, side, present, now_s - since_s, left_s, self.judged())
        )

    def comparison(self, ended: Ended, failure: Failure | None = None) -> Comparison:
        options, differs = self.options, differing(self.cases)
        trials = (
            ComparedTrial(p.side, p.block, p.record.id, p.record.status, p.value, s, p.counted)
            for p, s in zip(self.experiment.processes, self.readings_s, strict=False)
        )
        return Comparison(
            self.experiment.sweep, options.metric, options.resolution, options.slower_than,
            options.budget_s, ended,
            sides=tuple(self._side(label, differs[label]) for label in self.cases),
            contrasts=() if failure is not None else self.judged(), trials=tuple(trials),
            elapsed_s=self.elapsed_s, seed=self.seed, failure=failure,
            doubts=(*self._drift(), *self._record_doubts()),
        )  # fmt: skip

    def _side(self, label: str, differs: Mapping[str, str]) -> ComparedSide:
        pooled = self.blocks.pooled(label)
        case, trials = self.cases[label].to_json(), len(self.blocks.draws(label))
        if pooled is None:
            return ComparedSide(label, case, differs, trials, None, None, ())
        return ComparedSide(
            label, case, differs, trials, pooled.value, pooled.cosine_min, pooled.records
        )

    def _drift(self) -> list[Doubt]:
        """The sentinel's doubts, from the mean of the readings before and after each trial."""
        around: dict[str, list[float]] = {label: [] for label in self.cases}
        readings = zip(self.readings_s, self.readings_s[1:], strict=False)
        for process, (before_s, after_s) in zip(self.experiment.processes, readings, strict=False):
            if process.counted:
                around[process.side].append((before_s + after_s) / 2)
        return sentinel.doubts(self.readings_s, around)

    def _record_doubts(self) -> list[Doubt]:
        """Each doubt that half of the records have, or more, once."""
        records = [draw.record for draw in self.blocks.draws(*self.cases)]
        kinds = Counter(doubt.kind for record in records for doubt in record.doubts)
        messages = {doubt.kind: doubt.message for record in records for doubt in record.doubts}
        return [
            Doubt(kind, f"in {count} of {len(records)} trials {messages[kind]}")
            for kind, count in kinds.items()
            if kind not in _IRRELEVANT and count >= _DOUBTFUL_SHARE * len(records)
        ]
