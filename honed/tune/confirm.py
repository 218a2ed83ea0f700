"""From candidates to a recommendation: interleaved with the default, and no knob that does
nothing.

1. The winner against itself without each of its knobs: a knob whose gain is not certain, or under
   a hundredth, is left out.
2. The default, the winner (with and without those knobs) and the next two, in turns. The simplest
   within a hundredth of the best is recommended.
3. The default and the recommendation alone, until the interval is narrow or the time is spent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from honed.record import Interval, Record
from honed.tune.answers import (
    filled_in,
    first_record,
    kept_record,
    nearest,
    plain_gain,
    with_memory,
)
from honed.tune.bench import Guard
from honed.tune.duels import Duels
from honed.tune.outcome import Earned, Ended, Outcome
from honed.tune.trial import Point, Setting, point, settings

if TYPE_CHECKING:
    from honed.tune.session import Session

SAME = math.log(1.01)  # differences under this are not worth a knob
DEFAULT, WINNER, SIMPLER = "default", "winner", "simpler"
_NARROW = 0.02
_NOISE = 2.0  # standard errors
_CLOSE = 1.02
_OTHERS = 2
_BRANCH = ("backend", "precision")
_BLOCKS = 6  # the fewest that give an interval worth its name
_WHOLE_S = 8.0  # what the last record takes beyond a trial: all its calls, the memory pass
_LAST_S = 4.0  # importances, and writing down what was found
_LEAST = 1.5  # of a block: what may be begun
_KNOBS_SHARE = 0.4
_FINAL_SHARE = 0.7


@dataclass(slots=True)
class _Work:
    """A confirmation while it runs."""

    session: Session
    duels: Duels
    until_s: float

    @property
    def left_s(self) -> float:
        return self.until_s - self.session.bench.clock_s()

    @property
    def default(self) -> Point:
        return self.session.study.space.default


def confirm(session: Session, ended: Ended) -> Outcome:
    """The end of a study: measured again, or an answer why there is nothing to recommend."""
    with session.bench.alone():
        if (told := session.told_elsewhere()) is not None:
            return told
        outcome = _confirmed(session, ended)
        session.study.remember("outcome", outcome.to_json())
    return outcome


def _confirmed(session: Session, ended: Ended) -> Outcome:
    found = settings(session.study.trials())
    able = [s for s in found if s.feasible]
    if not able:
        return filled_in(session, Outcome.blank(session.study.name, ended, nearest(found)))
    work = _work(session, able[0])
    chosen, earned = _chosen(work, able)
    record = _whole(session, chosen) or kept_record(session, chosen)
    return _recommended(work, ended, chosen, earned, record)


def unconfirmed(session: Session, ended: Ended) -> Outcome:
    """What the trials say so far, without an interval."""
    found = settings(session.study.trials())
    able = [s for s in found if s.feasible]
    blank = Outcome.blank(session.study.name, ended, None if able else nearest(found))
    if able:
        at = able[0].point
        blank = replace(
            blank, point=at, best=kept_record(session, at), gain=plain_gain(session, at)
        )
    return filled_in(session, blank)


def _work(session: Session, best: Setting) -> _Work:
    needed_s = session.confirmation_s(session.study.trials())
    # A budget of hours is an upper limit: no more on proving than what is needed, or was searched.
    left_s = min(session.left_s(), max(needed_s, session.elapsed_s))
    timing = next((o.timing for o in session.ask.objectives if o.timing is not None), None)
    duels = Duels(session.bench, session.study.space, timing or "latency")
    last_s = _LAST_S + _WHOLE_S + _trial_s(session, best.point)
    last_s = min(last_s, left_s / 4)  # an interval says more than one whole record
    return _Work(session, duels, session.bench.clock_s() + left_s - last_s)


def _chosen(work: _Work, able: Sequence[Setting]) -> tuple[Point, tuple[Earned, ...]]:
    """The recommendation, and what each of the winner's knobs earned."""
    candidates = [s for s in able if s.point != work.default]
    if able[0].point == work.default or not candidates:
        return work.default, ()
    # Short trials cannot tell hundredths: of those that are as good the simplest goes in.
    close = [s for s in candidates if s.cost <= _CLOSE * candidates[0].cost]
    first = min(close, key=lambda s: (len(s.point), s.cost))
    winner, others = first.point, [s for s in candidates if s is not first]
    if all(o.timing is None for o in work.session.ask.objectives):
        return winner, ()  # luck has no part in it: the trials have said it
    earned = _earned(work, winner)
    # A knob of the machine that nobody had time to measure alone proves itself among the
    # finalists, or goes.
    polish = {d.key for d in work.session.study.space.of(str(winner["backend"]), "polish")}
    unsure = {e.key for e in earned if e.gain.value is None and e.key in polish}
    kept = {e.key for e in earned if e.kept} - unsure
    simpler = point({k: v for k, v in winner.items() if k in kept or k in work.default})
    chosen = _final(work, winner, _filled(work, simpler), others[:_OTHERS])
    if chosen != work.default:
        _narrow(work, chosen)
    # The finalists have the last word: what is kept is what the recommendation has.
    return chosen, tuple(replace(e, kept=chosen.get(e.key) == e.value) for e in earned)


def _filled(work: _Work, at: Point) -> Point:
    """An engine or a precision that was dropped is the default's again."""
    back = {k: work.default[k] for k in _BRANCH if k not in at}
    return work.session.study.space.normal({**at, **back})


def _trial_s(session: Session, at: Point) -> float:
    """What a process of it took at least; exports are made by now."""
    known = [t.elapsed_s for t in session.study.trials() if t.point == at and t.ok]
    return min(known, default=10.0)


def _elapsed_s(work: _Work, at: Point) -> float:
    """What a process of it takes: as in the comparisons so far, which have no memory pass."""
    found = work.duels.elapsed_s(at)
    return _trial_s(work.session, at) if found is None else found


def _earned(work: _Work, winner: Point) -> tuple[Earned, ...]:
    """The winner without each key in turn: knobs first, then precision and engine, as far as
    the time for it goes."""
    space = work.session.study.space
    keys = [k for k, v in winner.items() if work.default.get(k) != v]
    keys.sort(key=lambda k: (k in _BRANCH, k == "backend"))
    without = {k: _without(work, winner, k) for k in keys}
    refused = {k: why for k, at in without.items() if (why := space.refusal(at))}
    share_s = _KNOBS_SHARE * work.left_s
    round_s = _BLOCKS * max(0.01, _elapsed_s(work, winner))
    affordable = max(0, int(share_s / round_s) - 1)
    measured = [k for k in keys if k not in refused][:affordable]
    duels = Duels(work.session.bench, space, work.duels.metric)
    if measured:
        duels.compare({WINNER: winner, **{k: without[k] for k in measured}}, share_s)
    return tuple(
        judged((k, winner[k]), duels.gain(k), refused.get(k) or duels.failed.get(k, ""))
        for k in keys
    )


def _without(work: _Work, winner: Point, key: str) -> Point:
    """Back to how it comes; an engine takes its own knobs with it."""
    gone = {k: v for k, v in winner.items() if k != key}
    if key in work.default:
        gone[key] = work.default[key]
    return _filled(work, point(gone))


def judged(setting: tuple[str, object], gain: Interval, why: str) -> Earned:
    """`gain`: of the winner's counterpart without the knob over the winner; under 1 is a loss."""
    key, value = setting
    assert isinstance(value, bool | int | float | str)
    if gain.value is None:
        return Earned(key, value, Interval(None), True, why or "no time was left to measure it")
    by = Interval(1 / gain.value)
    gains = math.log(1 / gain.value) >= SAME
    if gain.ci95 is None:
        return Earned(key, value, by, gains, why or "too few processes to be certain")
    low, high = 1 / gain.ci95[1], 1 / gain.ci95[0]
    return Earned(key, value, Interval(by.value, (low, high)), low > 1 and gains)


def _final(work: _Work, winner: Point, simpler: Point, others: Sequence[Setting]) -> Point:
    """Which of the finalists it is, by their blocks with the default."""
    sides = {DEFAULT: work.default, WINNER: winner}
    if simpler not in (winner, work.default):
        sides[SIMPLER] = simpler
    costs_s = sum(_elapsed_s(work, at) for at in (work.default, *[winner] * (len(sides) - 1)))
    for index, other in enumerate(o for o in others if o.point != simpler):
        more_s = costs_s + _elapsed_s(work, other.point)
        if _BLOCKS * more_s < work.left_s * _FINAL_SHARE:
            sides[f"other {index + 1}"] = other.point
            costs_s = more_s
    if work.left_s < _LEAST * costs_s:
        return winner
    work.duels.compare(sides, work.left_s * _FINAL_SHARE)
    logs = {k: log for k in sides if (log := work.duels.log(k)) is not None}
    held = {k: at for k, at in sides.items() if k in logs and _holds(work, k)}
    if not held or len(logs) < 2:
        return simpler if DEFAULT not in work.duels.points and SIMPLER in sides else winner
    best = min(held, key=lambda k: logs[k])
    # Among some that the blocks cannot tell apart the first would be the luckiest.
    near = [k for k in held if logs[k] - logs[best] <= SAME + _NOISE * work.duels.error(k, best)]
    return held[min(near, key=lambda k: (len(held[k]), logs[k]))]


def _holds(work: _Work, side: str) -> bool:
    """Whether it keeps every limit, as far as is known: the calls of all its processes support
    the percentile that a short trial could only guess at."""
    at = work.duels.points[side]
    own = [s for s in settings(work.session.study.trials()) if s.point == at]
    if own and not own[0].feasible:
        return False
    limits = [o for o in work.session.ask.limits if o.quantity == "latency_p99_ms"]
    pooled = work.duels.pooled(side) if limits else None
    if pooled is None or pooled.latency_p99_ms is None:
        return True
    return all(o.kept_by(pooled.latency_p99_ms) for o in limits)


def _narrow(work: _Work, chosen: Point) -> None:
    """More blocks of the default and the recommendation, until the interval is narrow."""
    side = _side(work, chosen)
    duels = work.duels
    round_s = 2 * (_elapsed_s(work, work.default) + _elapsed_s(work, chosen))
    while duels.half(side) > _NARROW and work.left_s > _LEAST * round_s / 2:
        found = duels.compare({DEFAULT: work.default, side: chosen}, work.left_s)
        if found is None or not found.trials:
            return


def _side(work: _Work, at: Point) -> str:
    return next((k for k, own in work.duels.points.items() if own == at), WINNER)


def _whole(session: Session, at: Point) -> Record | None:
    """The recommendation once more, as `honed run` measures it, with its memory."""
    case = session.study.space.case(at)
    left_s = session.left_s() - _LAST_S
    if left_s < _trial_s(session, at):
        return None
    if not math.isinf(left_s):
        case = case.replace(duration_s=min(case.duration_s, max(0.7, left_s / 4)))
    clock_s = session.bench.clock_s
    record = session.bench.measure(case, Guard(clock_s, clock_s() + left_s, None))
    return record if record.ok else None


def _recommended(
    work: _Work, ended: Ended, chosen: Point, earned: tuple[Earned, ...], record: Record | None
) -> Outcome:
    session, side = work.session, _side(work, chosen)
    gain = work.duels.gain(side)
    if chosen == work.default:
        gain = Interval(1.0)
    elif gain.value is None:
        gain = plain_gain(session, chosen)
    blank = Outcome.blank(session.study.name, ended)
    found = replace(
        blank,
        best=record,
        point=chosen,
        gain=gain,
        earned=earned,
        default_pooled=with_memory(work.duels.pooled(DEFAULT), first_record(session)),
        best_pooled=with_memory(work.duels.pooled(side), record),
        note="; ".join(f"{k}: {why}" for k, why in work.duels.failed.items()),
    )
    return filled_in(session, found)
