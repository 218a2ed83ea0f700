"""From the trials to a recommendation: measure candidates in turns, then drop useless knobs.

1. The race: the best setting of the trials, the same without the machine's knobs and without those
   of its engine, and the settings next to it. The simplest one that is within a hundredth of the
   best, or within the noise, goes on. The default's processes take long, so it races only where it
   is near.
2. What each key earned: the winner in turns with itself without each key that the race did not try
   alone. A knob whose gain is uncertain, or under a hundredth, is left out.
3. The proof: the default and what is left of the winner, in as many blocks as the time allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from honed.experiment.policy import SEARCH
from honed.record import Interval, Record
from honed.study import Candidate, Earned, Ended, Outcome, Setting, candidates
from honed.tune.confirm.earned import earned_by_key
from honed.tune.confirm.entrants import best_candidate, entrants, race_s
from honed.tune.confirm.prove import gain, pooled, prove
from honed.tune.confirm.race import race
from honed.tune.confirm.work import DEFAULT, WINNER, Confirmation
from honed.tune.context import StudyContext
from honed.tune.guard import Guard
from honed.tune.outcome import (
    completed,
    default_record,
    gain_by_trials,
    trial_record,
    without_recommendation,
)
from honed.tune.policy import POLICY


def confirm(context: StudyContext, ended: Ended) -> Outcome:
    """Store and return the study's outcome; one that another process has stored meanwhile."""
    with context.lab.alone():
        if (outcome := context.outcome_elsewhere()) is not None:
            return outcome
        outcome = completed(context, _confirmed(context, ended))
        context.study.store_outcome(outcome)
    return outcome


def _confirmed(context: StudyContext, ended: Ended) -> Outcome:
    able = [c for c in candidates(context.study.trials()) if c.feasible]
    if not able:
        return without_recommendation(context, ended)
    work = begin(context, able[0].setting)
    chosen, earned = _choose(work, able)
    record = _whole_record(context, chosen) or trial_record(context, chosen)
    side = work.side_of(chosen)
    by = Interval(1.0) if chosen == work.default else gain(work, chosen)
    if by.value is None:
        by = gain_by_trials(context, chosen)
    failures = [f"{work.settings[k].name}: {f.message}" for k, f in work.blocks.failed.items()]
    return Outcome(
        context.study.name, ended, best=record, point=chosen, gain=by, earned=earned,
        default_pooled=pooled(work, DEFAULT, side, default_record(context)),
        best_pooled=pooled(work, side, DEFAULT, record), note="; ".join(failures),
    )  # fmt: skip


def begin(context: StudyContext, best: Setting) -> Confirmation:
    """With the time that turns may take. A budget of hours is an upper limit: no more time than is
    needed, or than was searched, is spent here."""
    needed_s = context.confirmation_s(context.study.trials())
    left_s = min(context.left_s, max(needed_s, context.elapsed_s))
    last_s = POLICY.writing_s + POLICY.whole_record_s + context.process_s(best)
    last_s = min(last_s, POLICY.last_share * left_s)
    return Confirmation(context, context.lab.clock_s() + left_s - last_s)


def _choose(work: Confirmation, able: Sequence[Candidate]) -> tuple[Setting, tuple[Earned, ...]]:
    """The recommended setting, and what each key of the winner earned."""
    others = [c for c in able if c.setting != work.default]
    if able[0].setting == work.default or not others:
        return work.default, ()
    best = best_candidate(others)
    others.remove(best)
    if not work.context.question.metric:
        return best.setting, ()  # luck has no part in such objectives: one trial tells the value
    sides = entrants(work, best.setting, others)
    until_s = work.context.lab.clock_s() + race_s(work, sides[WINNER])
    winner = race(work, sides, until_s)
    if winner == work.default:
        return winner, ()
    earned = earned_by_key(work, winner)
    dropped = [e.key for e in earned if not e.kept and e.key not in work.default]
    chosen = work.context.space.normal(winner.without(*dropped))
    if chosen != work.default:
        prove(work, chosen)
        if (gain(work, chosen).value or math.inf) < 1:
            chosen = work.default  # the trials were only lucky
    return chosen, tuple(replace(e, kept=chosen.get(e.key) == e.value) for e in earned)


def _whole_record(context: StudyContext, setting: Setting) -> Record | None:
    """The recommendation once more, as `honed run` measures it, with its memory."""
    case, clock_s = context.space.case(setting), context.lab.clock_s
    left_s = context.left_s - POLICY.writing_s
    if left_s < context.process_s(setting):
        return None
    if not math.isinf(left_s):
        calls_s = max(SEARCH.duration_s, POLICY.last_share * left_s)
        case = case.replace(duration_s=min(case.duration_s, calls_s))
    record = context.measure(case, Guard(clock_s, clock_s() + left_s))
    return record if record.ok else None
