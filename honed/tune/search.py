"""The search: propose a setting, measure it, store the trial, until the plan or the time ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from honed.case import Case
from honed.errors import HonedError, StoreError
from honed.phase import Phase
from honed.record import Record
from honed.study import Candidate, Ended, Trial
from honed.tune.context import StudyContext, TuneProgress
from honed.tune.guard import Guard
from honed.tune.planner import PLANNERS, Proposal, View
from honed.tune.policy import POLICY
from honed.tune.storage import ended


def search(context: StudyContext) -> Ended:
    """Run trials until the plan, the time or the number of trials ends."""
    plan = PLANNERS[str(context.question.extra.get("planner", "stages"))]
    while True:
        with context.lab.alone():
            trials = context.study.trials()
            view = View(context.question, context.space, trials, used_share(context, trials))
            if view.share >= 1 and trials:
                is_late = context.elapsed_s >= context.search_s(trials)
                return "budget" if is_late else "trials"
            proposal = plan(view)
            if proposal is None:
                return "exhausted"
            _run_trial(context, proposal, view)


def used_share(context: StudyContext, trials: Sequence[Trial]) -> float:
    """How much of the search is used, by its time or by its trials."""
    shares = [context.elapsed_s / max(1.0, context.search_s(trials))]
    if context.question.trials is not None:
        counted = sum(t.status != "interrupted" for t in trials)
        shares.append(counted / context.question.trials)
    return max(shares)


def _run_trial(context: StudyContext, proposal: Proposal, view: View) -> None:
    """Whatever happens becomes the trial's result, except Ctrl-C and faults of the store."""
    trial = context.study.begin(proposal.setting, proposal.stage)
    case = context.short(proposal.setting, proposal.stage)
    best = next((c for c in view.candidates if c.feasible), None)
    guard = _guard(context, proposal, view, _timed_s(context, case, best))
    once = Once(context.lab.clock_s)

    def on_phase(phase: Phase | None) -> None:
        left_s = None if math.isinf(context.left_s) else max(0.0, context.left_s)
        at = TuneProgress(trial.number, trial.stage, trial.setting, phase, left_s, best)
        context.listeners.progress(at)
        once(phase)
        guard(phase)

    began_s = context.lab.clock_s()
    result, record = replace(trial, status="interrupted"), None
    try:
        record = context.measure(case, on_phase)
        if guard.time_was_up:  # not a fault of the setting: it may be tried again
            result = replace(result, record=record.id, message="the study's time was up")
        else:
            result = ended(trial, record, context.question)
    except StoreError:
        raise
    except HonedError as error:  # a Case that could not even be started
        if proposal.stage == "default":
            raise
        result = replace(trial, status=error.status, message=error.message)
    finally:
        elapsed_s = context.lab.clock_s() - began_s
        result = replace(result, elapsed_s=elapsed_s, once_s=once.total_s)
        context.study.end(result)
    context.listeners.trial(result, record, best)
    if proposal.stage == "default" and record is not None and record.ok:
        _refuse_unmeasured(result, record)


def _refuse_unmeasured(default: Trial, record: Record) -> None:
    """HonedError where the default's record lacks what the study is about: others lack it too."""
    if default.status == "unproven":
        raise HonedError(
            f"{default.message}, so that no setting can be judged by it",
            f"honed show {record.id[:8]} prints what such a record has; ask for one of these",
        )


class Once:
    """Adds up the time in which a trial makes what later ones find made. Told its phases."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self.total_s = 0.0
        self._clock_s = clock_s
        self._since_s: float | None = None

    def __call__(self, phase: Phase | None) -> None:
        if phase is None or phase.is_once == (self._since_s is not None):
            return
        if self._since_s is None:
            self._since_s = self._clock_s()
        else:
            self.total_s += self._clock_s() - self._since_s
            self._since_s = None


def _guard(context: StudyContext, proposal: Proposal, view: View, timed_s: float | None) -> Guard:
    """The default may take all the time: without its result there is nothing to compare with."""
    clock_s, search_s = context.lab.clock_s, context.search_s(view.trials)
    if proposal.stage == "default" or math.isinf(search_s):
        return Guard(clock_s, math.inf, timed_s)
    deadline_s = clock_s() + max(1.0, search_s - context.elapsed_s)
    return Guard(clock_s, deadline_s, timed_s, POLICY.longest_trial_share * search_s)


def _timed_s(context: StudyContext, case: Case, best: Candidate | None) -> float | None:
    """Time limit for warming up and measuring: a setting that is slower than this could not win
    with any value of its knobs. None while there is no setting to compare with."""
    measures = context.question.measures
    if best is None or len(measures) > 1:
        return None
    value = best.trials[0].values[0]
    if measures[0].name == "latency":
        per_sequence_s = value / 1e3 / context.space.case(best.setting).batch_size
    elif measures[0].name == "throughput":
        per_sequence_s = 1 / value
    else:
        return None
    call_s = POLICY.hopeless * per_sequence_s * case.batch_size * case.instances
    measured_s = max(case.duration_s, POLICY.trial_calls * call_s)
    return POLICY.trial_margin_s + case.warmup_s + measured_s
