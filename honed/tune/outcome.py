"""What the trials alone say of a study, and what every outcome has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from honed.experiment.blocks import PairedBlocks
from honed.record import Interval, Record
from honed.study import Candidate, Ended, FrontPoint, Nearest, Outcome, Setting, candidates, front
from honed.tune.context import StudyContext
from honed.tune.importance import importances
from honed.tune.path import path
from honed.tune.steps import Gained, Known, gained, trial_costs, whole_gain


def unconfirmed(context: StudyContext, ended: Ended) -> Outcome:
    """The best setting by the trials so far, without an interval."""
    ranked = candidates(context.study.trials())
    best = next((c.setting for c in ranked if c.feasible), None)
    if best is None:
        return completed(context, without_recommendation(context, ended))
    steps, gain = by_trials(context, best)
    outcome = Outcome(
        context.study.name, ended, point=best, best=trial_record(context, best), gain=gain,
        steps=tuple(s.step for s in steps),
    )  # fmt: skip
    return completed(context, outcome)


def without_recommendation(context: StudyContext, ended: Ended) -> Outcome:
    ranked = candidates(context.study.trials())
    return Outcome(context.study.name, ended, nearest=_nearest(ranked))


def completed(context: StudyContext, outcome: Outcome) -> Outcome:
    """With the fields that do not depend on how the study ended."""
    trials, objectives = context.study.trials(), context.question.objectives
    on_front = front(candidates(trials)) if len(objectives) > 1 else ()
    points = (FrontPoint(c.setting, c.trials[-1].values, c.trials[-1].record) for c in on_front)
    return replace(
        outcome, objectives=objectives, elapsed_s=context.elapsed_s, trials=len(trials),
        failed=sum(t.ended and not t.ok for t in trials), default=default_record(context),
        importances=importances(context.space, trials), front=tuple(points),
    )  # fmt: skip


def default_record(context: StudyContext) -> Record | None:
    """The record of the default's trial; of the last one, if the first was interrupted."""
    ids = [t.record for t in context.study.trials() if t.stage == "default" and t.record]
    return context.lab.record(ids[-1]) if ids else None


def trial_record(context: StudyContext, setting: Setting) -> Record | None:
    """The record of the setting's first trial with a result."""
    ids = [t.record for t in context.study.trials() if t.setting == setting and t.ok]
    return context.lab.record(ids[0]) if ids and ids[0] else None


def by_trials(context: StudyContext, setting: Setting) -> tuple[tuple[Gained, ...], Interval]:
    """The steps from the default to a setting and the gain, as trials alone tell them."""
    default, question = context.space.default, context.question
    if setting == default:
        return (), Interval(1.0)
    costs = trial_costs(question, candidates(context.study.trials()))
    known = Known(PairedBlocks().effects(), {}, costs, bool(question.metric))
    steps = gained(default, path(context.space, setting), known)
    return steps, whole_gain(default, steps, known)


def _nearest(ranked: Sequence[Candidate]) -> Nearest | None:
    """The setting that misses its limits by the least, and the limit that it misses most."""
    best = next((c for c in ranked if c.ok and c.missed > 0), None)
    if best is None:
        return None
    limit = max(best.violations, key=lambda name: best.violations[name])
    return Nearest(best.setting, limit, best.violations[limit], best.trials[-1].record)
