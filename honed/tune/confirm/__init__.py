"""From the trials to a recommendation: race the best settings, then prove the winner step by step.

1. The race: the best setting of the trials, the same without the machine's knobs and without those
   of its engine, and the settings next to it. The simplest one that is within a hundredth of the
   best, or within the noise, goes on. The default's processes take long, so it races only where it
   is near.
2. The proof: the settings on the path from the default to the winner in turns. A key whose step is
   not proven is not recommended. The product of the steps is the gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from honed.experiment.policy import SEARCH
from honed.record import Interval, Record
from honed.study import Candidate, Ended, Outcome, Setting, candidates
from honed.tune.confirm.entrants import best_candidate, entrants, race_s
from honed.tune.confirm.pooled import pooled
from honed.tune.confirm.prove import Proof, prove
from honed.tune.confirm.race import race
from honed.tune.confirm.work import WINNER, Confirmation
from honed.tune.context import StudyContext
from honed.tune.guard import Guard
from honed.tune.outcome import (
    by_trials,
    completed,
    default_record,
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
    proof = _proof(work, able)
    whole = _whole_record(context, proof.chosen)
    record = whole if whole is not None and whole.ok else trial_record(context, proof.chosen)
    failures = [f"{work.settings[k].name}: {f.message}" for k, f in work.blocks.failed.items()]
    if whole is not None and whole.error is not None and not whole.ok:
        failures.append(f"{proof.chosen.name}: {whole.error.message}")
    failures += _missed(context, proof.chosen, record)
    return Outcome(
        context.study.name, ended, best=record, point=proof.chosen, gain=proof.gain,
        steps=tuple(s.step for s in proof.steps), dropped=tuple(s.step for s in proof.dropped),
        default_pooled=pooled(work, work.default, proof.chosen, default_record(context)),
        best_pooled=pooled(work, proof.chosen, work.default, record), note="; ".join(failures),
    )  # fmt: skip


def _missed(context: StudyContext, chosen: Setting, record: Record | None) -> list[str]:
    """The limits that the last record misses. It may be the first one with enough calls for a
    percentile: short trials and turns can keep a limit that more calls show to be missed."""
    shares = [(b, b.violation(record)) for b in context.question.bounds] if record else []
    return [
        f"{chosen.name} misses {bound} by {share * 100:.3g} %" for bound, share in shares
        if share is not None and share > 0
    ]  # fmt: skip


def begin(context: StudyContext, best: Setting) -> Confirmation:
    """With the time that turns may take. A budget of hours is an upper limit: no more time than is
    needed, or than was searched, is spent here."""
    needed_s = context.confirmation_s(context.study.trials())
    left_s = min(context.left_s, max(needed_s, context.elapsed_s))
    last_s = POLICY.writing_s + POLICY.whole_record_s + context.process_s(best)
    last_s = min(last_s, POLICY.last_share * left_s)
    return Confirmation(context, context.lab.clock_s() + left_s - last_s)


def _proof(work: Confirmation, able: Sequence[Candidate]) -> Proof:
    others = [c for c in able if c.setting != work.default]
    if able[0].setting == work.default or not others:
        return Proof(work.default, Interval(1.0))
    if not work.context.question.metric:  # luck has no part in such objectives
        chosen = best_candidate(able).setting
        steps, gain = by_trials(work.context, chosen)
        return Proof(chosen, gain, steps)
    best = best_candidate(others)
    others.remove(best)
    sides = entrants(work, best.setting, others)
    until_s = work.context.lab.clock_s() + race_s(work, sides[WINNER])
    winner = race(work, sides, until_s)
    return Proof(winner, Interval(1.0)) if winner == work.default else prove(work, winner)


def _whole_record(context: StudyContext, setting: Setting) -> Record | None:
    """The recommendation once more, as `honed run` measures it, with its memory; None without the
    time for it."""
    case, clock_s = context.space.case(setting), context.lab.clock_s
    left_s = context.left_s - POLICY.writing_s
    if left_s < context.process_s(setting):
        return None
    if not math.isinf(left_s):
        calls_s = max(SEARCH.duration_s, POLICY.last_share * left_s)
        case = case.replace(duration_s=min(case.duration_s, calls_s))
    guard = Guard(clock_s, clock_s() + left_s)
    record = context.measure(case, guard)
    return None if guard.time_was_up else record
