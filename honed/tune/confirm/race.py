"""The race: settings in turns, until it is clear which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping

from honed.experiment.policy import SEARCH
from honed.experiment.turns import Race
from honed.study import Setting
from honed.tune.confirm.work import SIMPLER, WINNER, Confirmation
from honed.tune.policy import POLICY


def race(work: Confirmation, sides: Mapping[str, Setting], until_s: float) -> Setting:
    """The simplest of the settings that cannot be told from the best one."""
    blocks = work.blocks
    work.enter(sides, SEARCH)
    rule = Race(list(sides), SEARCH)
    work.take_turns(rule, until_s)
    if not blocks.blocks and WINNER not in blocks.failed:
        return sides.get(SIMPLER, sides[WINNER])  # one trial does not prove a knob of the machine
    left = [s for s in rule.left if s not in blocks.failed and work.keeps_limits(sides[s], s)]
    if not left:
        return sides[WINNER]
    best = min(left, key=lambda side: blocks.behind(side, left[0]))

    def is_near(side: str) -> bool:
        noise = POLICY.race_errors * blocks.error(side, best)
        return blocks.behind(side, best) <= max(POLICY.same_log, noise)

    near = [side for side in left if is_near(side)]
    return sides[min(near, key=lambda side: (len(sides[side]), blocks.behind(side, best)))]
