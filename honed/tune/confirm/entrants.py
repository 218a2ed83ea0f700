"""Which settings race: the winner of the search, simpler forms of it, and the settings near it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from honed.knobs import owner_of
from honed.study import Candidate, Setting, candidates
from honed.tune.confirm.work import DEFAULT, PLAIN, SIMPLER, WINNER, Confirmation
from honed.tune.path import path, stops
from honed.tune.policy import POLICY


def best_candidate(able: Sequence[Candidate]) -> Candidate:
    """The simplest of the settings that short trials cannot tell from the best one."""
    close = [c for c in able if c.cost <= POLICY.close * able[0].cost]
    return min(close, key=lambda c: (len(c.setting), c.cost))


def entrants(
    work: Confirmation, winner: Setting, others: Sequence[Candidate]
) -> dict[str, Setting]:
    """The winner, also without the machine's knobs and without those of its engine; the default
    where it is near; then as many others as there is time for."""
    space = work.context.space
    costs = {c.setting: c.cost for c in candidates(work.context.study.trials()) if c.ok}
    best, backend = costs[winner], winner.branch[0]
    machine = {d.key for d in space.of(backend, "polish")}
    engine = {d.key for d in space.of(backend, "search") if owner_of(d.key)}
    sides = {WINNER: winner}
    for side, keys in ((SIMPLER, machine), (PLAIN, machine | engine)):
        setting = work.without(winner, *keys)
        if setting not in (work.default, *sides.values()) and space.refusal(setting) is None:
            sides[side] = setting
    if costs.get(work.default, math.inf) < POLICY.default_near * best:
        sides[DEFAULT] = work.default
    if PLAIN in sides and costs.get(sides[PLAIN], best) > POLICY.rival * best:
        del sides[PLAIN]  # one trial each tells this much apart
    near = [c.setting for c in others if c.cost <= POLICY.rival * best]
    rivals = [setting for setting in near if setting not in sides.values()]
    until_s = race_s(work, winner)
    for number, rival in enumerate(rivals[: POLICY.rivals], start=1):
        block_s = sum(work.process_s(setting) for setting in (*sides.values(), rival))
        if POLICY.race_blocks * block_s < until_s:
            sides[f"other {number}"] = rival
    return sides


def race_s(work: Confirmation, winner: Setting) -> float:
    """The time of the race: its share, and what the proof leaves over when it has as many whole
    rounds (of two blocks of the path) as fit into the rest. A few blocks go before the race."""
    share_s = POLICY.race_share * work.left_s
    space = work.context.space
    on_path = stops(space, path(space, winner))
    block_s = POLICY.round_margin * sum(work.process_s(s, with_export=True) for s in on_path)
    rounds = math.floor((work.left_s - share_s) / max(0.01, 2 * block_s))
    return max(0.0, work.left_s - max(2 * rounds, POLICY.least_path_blocks) * block_s)
