"""From candidates to a recommendation: interleaved with the default, and no knob that does
nothing.

1. The best of the trials, the same without the machine's knobs and without its engine's, and those
   next to it race. The simplest within a hundredth of the best, or within the noise, goes on. The
   default, whose processes take long, takes part only where it is near.
2. That one against itself without each of its knobs that the race did not try alone: a knob whose
   gain is not certain, or under a hundredth, is left out.
3. The default and what is left of it, in as many blocks as the time allows.
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
from honed.tune.race import race
from honed.tune.trial import Point, Setting, point, settings
from honed.tune.trial import words as typed

if TYPE_CHECKING:
    from honed.tune.session import Session

SAME = math.log(1.01)  # differences under this are not worth a knob
DEFAULT, WINNER, SIMPLER, PLAIN = "default", "winner", "simpler", "plain"
_MOST_ROUNDS = 10  # of two blocks: enough for an interval of a hundredth or two
# The simplest within one standard error of the best (Breiman et al. 1984): among some that the
# blocks cannot tell apart the first would be the luckiest.
_NOISE = 1.0
_CLOSE = 1.02
_RIVAL = 1.08  # this near to the winner by one trial each, a setting may be the better one
_RIVALS = 4
_NEAR = 1.3  # of the default: nearer than this, it races too
_BRANCH = ("backend", "precision")
_BLOCKS = 6  # the fewest that give an interval worth its name
_WHOLE_S = 8.0  # what the last record takes beyond a trial: all its calls, the memory pass
_LAST_S = 4.0  # importances, and writing down what was found
_LEAST = 1.5  # of a block: what may be begun
_RACE_SHARE = 0.45
_RACE_BLOCKS = 3  # at least, of every side that is let in


@dataclass(slots=True)
class _Work:
    """A confirmation while it runs."""

    session: Session
    duels: Duels
    until_s: float
    proof: tuple[int, int] = (0, 0)  # the blocks that are to say what is gained

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
    raced = _raced(work, _entrants(work, winner, others))
    if raced == work.default:
        return raced, ()
    earned = _earned(work, raced)
    kept = {e.key for e in earned if e.kept} | set(work.default)
    chosen = _filled(work, point({k: v for k, v in raced.items() if k in kept}))
    if chosen != work.default:
        _prove(work, chosen)
        if (_gain(work, chosen).value or math.inf) < 1:
            chosen = work.default  # what the trials promised was luck
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


def _earned(work: _Work, raced: Point) -> tuple[Earned, ...]:
    """The setting without each of its keys: in new turns as far as time goes, else by the race,
    else by one trial each. Only new turns drop a knob: a race is won by luck as well."""
    space = work.session.study.space
    keys = [k for k, v in raced.items() if work.default.get(k) != v]
    without = {k: _without(work, raced, k) for k in keys}
    refused = {k: why for k, at in without.items() if (why := space.refusal(at)) is not None}
    turns = _turns(work, raced, {k: at for k, at in without.items() if k not in refused})
    found = []
    for key, at in without.items():
        gain, why = turns.gain(key, WINNER), refused.get(key) or turns.failed.get(key, "")
        turned = gain.value is not None
        if not turned and not why:
            gain = work.duels.gain(_side(work, at, key), _side(work, raced))
        if gain.value is None and not why:
            gain, why = _by_trials(work, raced, at)
        earned = judged((key, raced[key]), gain, why)
        found.append(earned if turned else replace(earned, kept=True))
    return tuple(found)


def _turns(work: _Work, raced: Point, without: dict[str, Point]) -> Duels:
    """The setting in turns with those, as many as there is time for beside the gain: knobs before
    precision and engine, which no turn would drop; those that did not race first."""
    own_s, duels = _elapsed_s(work, raced), work.duels
    gain_s = (_BLOCKS + 0.5) * (_elapsed_s(work, work.default) + own_s)
    share_s = work.left_s - gain_s
    affordable = max(0, int(share_s / (_BLOCKS * max(0.01, own_s))) - 1)
    known = list(duels.points.values())
    order = sorted(without, key=lambda k: (k in _BRANCH, k == "backend", without[k] in known))
    turns = Duels(work.session.bench, duels.space, duels.metric)
    if sides := {k: without[k] for k in order[:affordable]}:
        turns.compare({WINNER: raced, **sides}, share_s)
    return turns


def _by_trials(work: _Work, one: Point, other: Point) -> tuple[Interval, str]:
    """How many times better the other is by their trials alone, and a word on that."""
    costs = {s.name: s.cost for s in settings(work.session.study.trials()) if s.ok}
    own, its = costs.get(_name(one)), costs.get(_name(other))
    return (Interval(own / its), "by one trial each") if own and its else (Interval(None), "")


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


def _race_s(work: _Work, winner: Point) -> float:
    """Its share, and what would be left over when the gain has had as many whole rounds (of two
    blocks) as fit into the rest."""
    own_s = _RACE_SHARE * work.left_s
    round_s = 2.1 * (_elapsed_s(work, work.default) + _elapsed_s(work, winner))
    rounds = math.floor((work.left_s - own_s) / round_s) if round_s > 0 else 0
    return work.left_s - rounds * round_s if rounds else own_s


def _entrants(work: _Work, winner: Point, others: Sequence[Setting]) -> dict[str, Point]:
    """Who races: the winner, also without the machine's knobs and without the engine's own, then
    as many others as there is time for to tell them apart."""
    space = work.session.study.space
    costs = {s.name: s.cost for s in settings(work.session.study.trials()) if s.ok}
    best, backend = costs[_name(winner)], str(winner["backend"])
    polish = {d.key for d in space.of(backend, "polish")}
    own = {d.key for d in space.of(backend, "search") if d.owner}
    sides = {WINNER: winner}
    for name, gone in ((SIMPLER, polish), (PLAIN, polish | own)):
        at = _filled(work, point({k: v for k, v in winner.items() if k not in gone}))
        if at not in (work.default, *sides.values()) and space.refusal(at) is None:
            sides[name] = at
    if costs.get(_name(work.default), math.inf) < _NEAR * best:
        sides[DEFAULT] = work.default
    if PLAIN in sides and costs.get(_name(sides[PLAIN]), best) > _RIVAL * best:
        del sides[PLAIN]  # one trial each tells so much apart
    near = [o.point for o in others if o.cost <= _RIVAL * best]
    for index, other in enumerate([at for at in near if at not in sides.values()][:_RIVALS]):
        block_s = sum(_elapsed_s(work, at) for at in (*sides.values(), other))
        if _RACE_BLOCKS * block_s < _race_s(work, winner):
            sides[f"other {index + 1}"] = other
    return sides


def _name(at: Point) -> str:
    return " ".join(typed(at))


def _raced(work: _Work, sides: dict[str, Point]) -> Point:
    """Which of them it is: the simplest of those that cannot be told from the best."""
    duels = work.duels
    ends_s = work.session.bench.clock_s() + _race_s(work, sides[WINNER])
    left = race(work.session, duels, sides, ends_s)
    held = [k for k in left if _holds(work, k)]
    if not duels.blocks and WINNER not in duels.failed:
        return sides.get(SIMPLER, sides[WINNER])  # no knob of the machine on one trial's word
    if not held:
        return sides[WINNER]
    best = min(held, key=lambda k: duels.behind(k, held[0]))
    near = [k for k in held
            if duels.behind(k, best) <= max(SAME, _NOISE * duels.error(k, best))]  # fmt: skip
    return sides[min(near, key=lambda k: (len(sides[k]), duels.behind(k, best)))]


def _holds(work: _Work, side: str) -> bool:
    """Whether it keeps every limit, as far as is known: the calls of all its processes support
    the percentile that a short trial could only guess at."""
    at = work.duels.points[side]
    own = [s for s in settings(work.session.study.trials()) if s.point == at]
    if own and not own[0].feasible:
        return False
    limits = [o for o in work.session.ask.limits if o.quantity == "latency_p99_ms"]
    pooled = work.duels.pooled(side, DEFAULT) if limits else None
    if pooled is None or pooled.latency_p99_ms is None:
        return True
    return all(o.kept_by(pooled.latency_p99_ms) for o in limits)


def _prove(work: _Work, chosen: Point) -> None:
    """The default and the recommendation alone, as many blocks as there is time for, settled now:
    an interval that one may look at again and again is twice as wide."""
    side, duels = _side(work, chosen), work.duels
    round_s = 2 * (_elapsed_s(work, work.default) + _elapsed_s(work, chosen))
    rounds = min(_MOST_ROUNDS, max(1, math.floor(work.left_s / round_s))) if round_s else 1
    first = len(duels.blocks)
    work.proof = (first, first + 2 * rounds)
    while (left := work.proof[1] - len(duels.blocks)) > 0 and work.left_s > _LEAST * round_s / 2:
        share_s = min(work.left_s, max(1.0, 1.2 * left * round_s / 2))
        found = duels.compare({DEFAULT: work.default, side: chosen}, share_s)
        if found is None or not found.trials:
            return


def _gain(work: _Work, at: Point) -> Interval:
    return work.duels.planned_gain(_side(work, at), DEFAULT, slice(*work.proof))


def _side(work: _Work, at: Point, new: str = WINNER) -> str:
    """What a point is called in the duels, or will be."""
    return next((k for k, own in work.duels.points.items() if own == at), new)


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
    gain = _gain(work, chosen)
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
        default_pooled=with_memory(work.duels.pooled(DEFAULT, side), first_record(session)),
        best_pooled=with_memory(work.duels.pooled(side, DEFAULT), record),
        note="; ".join(
            f"{_name(work.duels.points[k])}: {why}" for k, why in work.duels.failed.items()
        ),
    )
    return filled_in(session, found)
