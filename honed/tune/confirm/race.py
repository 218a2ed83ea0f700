"""The race: settings in turns, until it is clear which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping

from honed.experiment.policy import SEARCH
from honed.experiment.turns import Race
from honed.study import Setting, candidates
from honed.tune.confirm.work import SIMPLER, WINNER, Confirmation
from honed.tune.policy import POLICY


def race(work: Confirmation, sides: Mapping[str, Setting], until_s: float) -> Setting:
    """The simplest of the settings that cannot be told from the best one."""
    blocks = work.blocks
    work.enter(sides, SEARCH)
    rule = Race(list(sides), SEARCH)
    work.take_turns(blocks, rule, until_s)
    if not blocks.blocks and WINNER not in blocks.failed:
        return sides.get(SIMPLER, sides[WINNER])  # one trial does not prove a knob of the machine
    left = [s for s in rule.left if s not in blocks.failed and keeps_limits(work, s)]
    if not left:
        return sides[WINNER]
    best = min(left, key=lambda side: blocks.behind(side, left[0]))

    def is_near(side: str) -> bool:
        noise = POLICY.race_errors * blocks.error(side, best)
        return blocks.behind(side, best) <= max(POLICY.same_log, noise)

    near = [side for side in left if is_near(side)]
    return sides[min(near, key=lambda side: (len(sides[side]), blocks.behind(side, best)))]


def keeps_limits(work: Confirmation, side: str) -> bool:
    """Whether the side keeps every limit, as far as is known. The calls of all its processes
    support the 99th percentile, which a short trial can only bound from below."""
    ranked = candidates(work.context.study.trials())
    trials = next((c for c in ranked if c.setting == work.settings[side]), None)
    if trials is not None and not trials.feasible:
        return False
    limits = [b for b in work.context.question.bounds if b.name == "latency_p99_ms"]
    pooled = work.blocks.pooled(side) if limits else None
    if pooled is None or pooled.latency_p99_s is None:
        return True
    p99_ms = pooled.latency_p99_s * 1e3
    return all(limit.missed_by(p99_ms) <= 0 for limit in limits)
