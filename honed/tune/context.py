"""StudyContext: a study, the Lab that measures for it, and the time that is left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from honed.backends.base import is_reference
from honed.case import Case
from honed.experiment.policy import SEARCH
from honed.phase import OnPhase, Phase
from honed.record import Record
from honed.run.lab import Lab
from honed.study import Candidate, Outcome, Setting, Trial, candidates
from honed.tune.path import path, stops
from honed.tune.policy import POLICY
from honed.tune.question import Question
from honed.tune.space import Space
from honed.tune.storage import Study


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """The trial that is being measured. `left_s` is None without a budget."""

    trial: int
    stage: str
    setting: Setting
    phase: Phase | None
    left_s: float | None
    best: Candidate | None


@dataclass(frozen=True, slots=True)
class Listeners:
    """Callbacks: on each phase, on each ended trial with the best setting before it, and (twice a
    second) while another process measures on this machine."""

    progress: Callable[[TuneProgress], None] = field(default=lambda _: None)
    trial: Callable[[Trial, Record | None, Candidate | None], None] = field(
        default=lambda _, __, ___: None
    )
    waiting: Callable[[], None] = field(default=lambda: None)


class StudyContext:
    """What the search and the confirmation share. Other processes may work on the same study."""

    def __init__(self, study: Study, lab: Lab, listeners: Listeners | None = None) -> None:
        self.study = study
        self.lab = lab
        self.listeners = listeners or Listeners()
        self._began_s = lab.clock_s()
        # The part of the budget that earlier processes of this study have used.
        self._used_s = sum(t.elapsed_s for t in study.trials())
        self._outcome_before = study.outcome

    @property
    def question(self) -> Question:
        return self.study.question

    @property
    def space(self) -> Space:
        return self.study.space

    @property
    def elapsed_s(self) -> float:
        return self._used_s + self.lab.clock_s() - self._began_s

    @property
    def left_s(self) -> float:
        """The rest of the whole budget; infinite without one."""
        budget_s = self.question.budget_s
        return math.inf if budget_s is None else budget_s - self.elapsed_s

    def measure(self, case: Case, on_phase: OnPhase) -> Record:
        """The Record is stored under the study's name."""
        return self.lab.measure(case, self.study.name, on_phase)

    def outcome_elsewhere(self) -> Outcome | None:
        """The outcome that another process has stored since this one began."""
        now = self.study.outcome
        return None if now == self._outcome_before else now

    def short(self, setting: Setting, stage: str) -> Case:
        """The Case of a trial: as long as is useful, unless the user set its length.

        Memory is measured where the question needs it, and of the default, to be shown beside the
        best. Inputs of many lengths are timed in part: the same part for every setting.
        """
        whole = self.space.case(setting)
        case = self.accepted(SEARCH.short(whole), setting)
        memory = whole.memory and (self.question.needs_memory or stage == "default")
        if case.batches is None and (case.lengths is not None or case.inputs is not None):
            case = case.replace(batches=POLICY.timed_batches)
        return case.replace(memory=memory)

    def accepted(self, case: Case, setting: Setting, passed: Iterable[Setting] = ()) -> Case:
        """The Case without the evaluation of its accuracy, where its outputs are those of a
        setting that has passed it, in a trial or as one of `passed`, or those of the reference: an
        evaluation takes longer than timing."""
        if self.question.needs_accuracy or not case.evaluates:
            return case
        outputs = self._outputs_of(setting)
        able = itertools.chain(passed, (t.setting for t in self.study.trials() if t.ok))
        if not is_reference(case) and all(self._outputs_of(s) != outputs for s in able):
            return case
        return case.replace(eval=None, eval_metric="auto", max_accuracy_drop=None)

    def _outputs_of(self, setting: Setting) -> Setting:
        """What of a setting may change outputs: cores and the machine's knobs do not."""
        polish = (d.key for d in self.space.dimensions if d.when == "polish")
        return setting.without("threads", "instances", "sizes", *polish)

    def process_s(self, setting: Setting, *, with_export: bool = False) -> float:
        """The time that the next process of the setting is expected to take. Where it has not been
        tried, `with_export` asks for the longest trial of its engine, not the shortest."""
        return _process_s(self.study.trials(), setting, with_export)

    def reserve_s(self, trials: Sequence[Trial]) -> float:
        """The part of the budget that is kept for the confirmation."""
        budget_s = self.question.budget_s
        if budget_s is None:
            return 0.0
        least_s = POLICY.least_confirmation_share * budget_s
        most_s = POLICY.most_confirmation_share * budget_s
        return min(most_s, max(least_s, self.confirmation_s(trials)))

    def search_s(self, trials: Sequence[Trial]) -> float:
        """The part of the budget that the search may use; infinite without a budget."""
        budget_s = self.question.budget_s
        return math.inf if budget_s is None else budget_s - self.reserve_s(trials)

    def confirmation_s(self, trials: Sequence[Trial]) -> float:
        """The time that the confirmation is expected to take: a race of the finalists, then the
        path from the default to the best setting so far, in turns."""
        able = [c for c in candidates(trials) if c.ok]
        race_s = sum(_process_s(trials, c.setting) for c in able[: POLICY.finalists])
        to = able[0].setting if able else self.space.default
        on_path = stops(self.space, path(self.space, to))
        path_s = sum(_process_s(trials, setting, with_export=True) for setting in on_path)
        return POLICY.race_blocks * race_s + POLICY.path_blocks * path_s


def _process_s(trials: Sequence[Trial], setting: Setting, with_export: bool = False) -> float:
    """The shortest time that a process of the setting took, without what it made first. Of a
    setting without a trial: the shortest time of its engine, or the longest with its export. What
    the default makes first (the model, references) is no export."""
    able = [t for t in trials if t.ok]
    times_s = [t.process_s for t in able if t.setting == setting]
    if times_s:
        return min(times_s)
    of_engine = [t for t in able if t.setting["backend"] == setting["backend"]]
    if with_export:
        longest_s = (t.process_s if t.stage == "default" else t.elapsed_s for t in of_engine)
        return max(longest_s, default=POLICY.unknown_process_s)
    return min((t.process_s for t in of_engine), default=POLICY.unknown_process_s)
