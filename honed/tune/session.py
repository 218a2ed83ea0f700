"""The loop: propose, measure, remember; then confirm what was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from honed.case import CORE_FIELDS, Case
from honed.errors import HonedError, StoreError
from honed.phase import Phase
from honed.record import Record
from honed.tune import confirm, planner
from honed.tune.ask import Ask
from honed.tune.bench import Bench, Guard
from honed.tune.outcome import Ended, Outcome
from honed.tune.study import Result, Study, judged
from honed.tune.trial import Setting, Trial, settings
from honed.tune.view import Planner, Proposal, View

# As short as a process is worth: its luck is larger than the noise of its calls.
_SHORT = {"duration_s": 0.7, "min_samples": 8, "warmup_s": 2.0}
_DEFAULTS = {f.name: f.default for f in CORE_FIELDS}
_CALLS = 30  # of a trial, in all: checking, warming up, measuring
# A call that takes this many times the best setting's, per sequence, is not made good by a knob.
_HOPELESS = 4.0
# The confirmation's part of the budget lies between these; inside, what its processes will cost.
_RESERVE = (0.25, 0.5)
_BLOCKS = 6  # the fewest that give an interval worth its name
_FINALISTS = 4
_LONGEST = 1 / 3  # of the search's time for one trial: an export may take long, but not all

PLANNERS: Mapping[str, Planner] = {"stages": planner.stages, "exhaustive": planner.exhaustive}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a study stands."""

    trial: int
    stage: str
    setting: str
    phase: Phase | None
    left_s: float | None
    best: Setting | None


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who wants to know: of phases as they come, of trials as they end, of waiting for another
    process that measures here (twice a second)."""

    progress: Callable[[Progress], None] = field(default=lambda _: None)
    trial: Callable[[Trial, Record | None], None] = field(default=lambda _, __: None)
    waiting: Callable[[], None] = field(default=lambda: None)


class Session:
    """One process's work on a study, which others may share."""

    def __init__(self, study: Study, bench: Bench, hearers: Hearers) -> None:
        self.study = study
        self.bench = bench
        self._hear = hearers
        self._plan = PLANNERS[str(study.ask.extra.get("planner", "stages"))]
        self._began_s = bench.clock_s()
        # What earlier processes of this study have used of the budget.
        self._used_s = study.spent_s
        self._told = study.recall("outcome")

    @property
    def ask(self) -> Ask:
        return self.study.ask

    @property
    def elapsed_s(self) -> float:
        return self._used_s + self.bench.clock_s() - self._began_s

    def left_s(self) -> float:
        """Of the whole budget; infinite without one."""
        return math.inf if self.ask.budget_s is None else self.ask.budget_s - self.elapsed_s

    def run(self) -> Outcome:
        """Search until the plan, the time or the trials end; then confirm. Ctrl-C ends the
        search and says what is known."""
        self.study.sweep_up()
        try:
            ended = self._search()
            return confirm.confirm(self, ended)
        except KeyboardInterrupt:
            return confirm.unconfirmed(self, "interrupted")

    def told_elsewhere(self) -> Outcome | None:
        """The outcome that another process has reached since this one began."""
        now = self.study.recall("outcome")
        return None if now is None or now == self._told else Outcome.from_json(now)

    def _search(self) -> Ended:
        while True:
            with self.bench.alone():
                trials = self.study.trials()
                view = View(self.ask, self.study.space, trials, self._share(trials))
                if view.share >= 1 and trials:
                    return "budget" if self._out_of_time(trials) else "trials"
                proposal = self._plan(view)
                if proposal is None:
                    return "exhausted"
                self._trial(proposal, view)

    def _trial(self, proposal: Proposal, view: View) -> None:
        """Whatever happens to the trial is its result, but for Ctrl-C and faults of the store."""
        number = self.study.begin(proposal.point, proposal.stage)
        case = self.short(self.study.space.case(proposal.point), proposal.stage)
        best = next((s for s in view.settings if s.feasible), None)
        guard = self._guard(proposal, view, case, best)

        def on_phase(phase: Phase | None) -> None:
            setting = Trial(number, proposal.stage, proposal.point, "").setting
            at = Progress(number, proposal.stage, setting, phase, self._left(), best)
            self._hear.progress(at)
            guard(phase)

        began_s = self.bench.clock_s()
        result = Result("interrupted")
        record = None
        try:
            record = self.bench.measure(case, on_phase)
            result = judged(record, self.ask)
            if guard.time_was_up:  # no fault of the setting's: it may be tried again
                result = Result("interrupted", record.id, message="the study's time was up")
        except StoreError:
            raise
        except HonedError as error:  # a Case that could not even be started
            if proposal.stage == "default":
                raise
            result = Result(error.status, message=error.message)
        finally:
            elapsed_s = self.bench.clock_s() - began_s
            self.study.end(number, replace(result, elapsed_s=elapsed_s))
        (told,) = [t for t in self.study.trials() if t.number == number]
        self._hear.trial(told, record)

    def _guard(self, proposal: Proposal, view: View, case: Case, best: Setting | None) -> Guard:
        """The default may take all there is: without it nothing can be said."""
        timed_s = self._timed_s(case, best)
        if proposal.stage == "default" or self.ask.budget_s is None:
            return Guard(self.bench.clock_s, math.inf, timed_s)
        search_s = self.ask.budget_s - self.reserve_s(view.trials)
        deadline_s = self.bench.clock_s() + max(1.0, search_s - self.elapsed_s)
        return Guard(self.bench.clock_s, deadline_s, timed_s, _LONGEST * search_s)

    def _left(self) -> float | None:
        return None if self.ask.budget_s is None else max(0.0, self.left_s())

    def short(self, case: Case, stage: str) -> Case:
        """A trial of `case`: as long as is useful, unless its length was set. The default is
        measured with its memory, to be shown beside the best."""
        unset: dict[str, Any] = {
            k: v for k, v in _SHORT.items() if self.ask.base.get(k) == _DEFAULTS[k]
        }
        memory = case.memory and (self.ask.needs_memory or stage == "default")
        return case.replace(memory=memory, **unset)

    def _timed_s(self, case: Case, best: Setting | None) -> float | None:
        """How long a setting may be timed that could still win with all its knobs turned."""
        per_sequence_s = self._per_sequence_s(best)
        if per_sequence_s is None:
            return None
        call_s = _HOPELESS * per_sequence_s * case.batch_size * case.instances
        return 2.0 + case.warmup_s + max(case.duration_s, _CALLS * call_s)

    def _per_sequence_s(self, best: Setting | None) -> float | None:
        if best is None or len(self.ask.objectives) > 1:
            return None
        (objective,), value = self.ask.objectives, best.trials[0].values[0]
        if objective.name == "latency":
            return value / 1e3 / self.study.space.case(best.point).batch_size
        return 1 / value if objective.name == "throughput" else None

    def _share(self, trials: Sequence[Trial]) -> float:
        """How much of the search is used; its time ends where the confirmation must begin."""
        counted = [t for t in trials if t.status != "interrupted"]
        shares = [0.0]
        if self.ask.trials is not None:
            shares.append(len(counted) / self.ask.trials)
        if self.ask.budget_s is not None:
            shares.append(self.elapsed_s / max(1.0, self.ask.budget_s - self.reserve_s(trials)))
        return max(shares)

    def _out_of_time(self, trials: Sequence[Trial]) -> bool:
        if self.ask.budget_s is None:
            return False
        return self.elapsed_s >= self.ask.budget_s - self.reserve_s(trials)

    def reserve_s(self, trials: Sequence[Trial]) -> float:
        """What the confirmation needs, as far as its settings' trials tell."""
        budget_s = self.ask.budget_s
        if budget_s is None:
            return 0.0
        low_s, high_s = (share * budget_s for share in _RESERVE)
        return min(high_s, max(low_s, self.confirmation_s(trials)))

    def confirmation_s(self, trials: Sequence[Trial]) -> float:
        """A race of the finalists; the winner without each of its knobs; the default and it."""
        found = settings(trials)
        costs_s = [min(t.elapsed_s for t in s.trials) for s in found[:_FINALISTS] if s.ok]
        first_s = trials[0].elapsed_s if trials else 10.0
        sides = 2 + len(found[0].point) if found else 2
        return _BLOCKS * (first_s + sum(costs_s) + sides * min(costs_s, default=0.0))
