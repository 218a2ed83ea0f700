"""Contenders in turns, until one is left or time is up.

A trial is one process, and processes of one setting differ by as much as good settings do: the
best of many trials is the luckiest. Here every block has one process of each; whoever is behind by
more than twice the standard error falls out, so that the time goes to those that are hard to tell
apart (racing: Maron & Moore 1994, "Hoeffding races"; Birattari et al. 2002).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from honed.tune.bench import Guard
from honed.tune.duels import Draw, Duels
from honed.tune.trial import Point

if TYPE_CHECKING:
    from honed.tune.session import Session

_BEHIND = 2.0  # standard errors
_LEAST_BLOCKS = 2
_MOST_BLOCKS = 20  # more would tell hundredths from each other


def race(session: Session, duels: Duels, sides: Mapping[str, Point], until_s: float) -> list[str]:
    """The sides that are left; each of them is in every block of `duels`."""
    rng = random.Random(session.ask.seed)
    left, order, block_s = list(sides), list(sides), 0.0
    duels.points |= sides
    for index in range(_MOST_BLOCKS):
        began_s = session.bench.clock_s()
        if len(left) < 2 or began_s + block_s > until_s:
            break
        # Each second block mirrors the first: what the machine does slowly cancels within two.
        order = [k for k in order[::-1] if k in left] if index % 2 else rng.sample(left, len(left))
        if not _block(session, duels, order, until_s):
            break
        left = _left(duels, [k for k in left if k not in duels.failed])
        block_s = (session.bench.clock_s() - began_s) * len(left) / len(order)
    return left


def _block(session: Session, duels: Duels, order: list[str], until_s: float) -> bool:
    """One process of each; False if time ran out: then nothing is kept. A failure is out."""
    drawn: dict[str, Draw] = {}
    for side in order:
        case = session.short(duels.space.case(duels.points[side]), "race")
        guard = Guard(session.bench.clock_s, until_s, None)
        record = session.bench.measure(case.replace(memory=False), guard)
        log = duels.log_of(record)
        if log is not None:
            drawn[side] = Draw(log, record.id)
        elif guard.time_was_up:
            return False
        else:
            duels.failed[side] = record.error.message if record.error else record.status
    duels.blocks.append(drawn)
    return True


def _left(duels: Duels, sides: list[str]) -> list[str]:
    if len(duels.blocks) < _LEAST_BLOCKS or not sides:
        return sides
    first = sides[0]
    best = min(sides, key=lambda k: duels.behind(k, first))
    return [k for k in sides if duels.behind(k, best) <= _BEHIND * duels.error(k, best)]
