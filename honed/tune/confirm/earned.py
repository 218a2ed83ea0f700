"""What each key of the winner earned: the winner in turns with itself without the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from honed.experiment.blocks import PairedBlocks
from honed.experiment.policy import COMPARE
from honed.experiment.turns import UntilDecided
from honed.knob import Value
from honed.record import Interval
from honed.statistics.paired import Question
from honed.study import Earned, Setting, candidates
from honed.tune.confirm.work import WINNER, Confirmation
from honed.tune.policy import POLICY
from honed.tune.space import ROOT


def earned_by_key(work: Confirmation, winner: Setting) -> tuple[Earned, ...]:
    """In new turns as far as there is time, else by the race, else by one trial each. Only new
    turns drop a knob, because the luckiest setting wins a race."""
    space = work.context.space
    keys = [k for k, v in winner.items() if work.default.get(k) != v]
    without = {k: work.without(winner, k) for k in keys}
    refusals = {k: why for k, s in without.items() if (why := space.refusal(s)) is not None}
    turns = _turns(work, winner, {k: s for k, s in without.items() if k not in refusals})
    costs = {c.setting: c.cost for c in candidates(work.context.study.trials()) if c.ok}
    result = []
    for key, setting in without.items():
        gain, failure = turns.gain(key, WINNER), turns.failed.get(key)
        why = refusals.get(key) or (failure.message if failure else "")
        in_turns = gain.value is not None
        if not in_turns and not why:
            gain = work.blocks.gain(work.side_of(setting, key), work.side_of(winner))
            if gain.value is None and winner in costs and setting in costs:
                gain, why = Interval(costs[winner] / costs[setting]), "by one trial each"
        earned = judge_gain(key, winner[key], gain, why)
        result.append(earned if in_turns else replace(earned, kept=True))
    return tuple(result)


def _turns(work: Confirmation, winner: Setting, without: Mapping[str, Setting]) -> PairedBlocks:
    """The winner in turns with as many of these settings as there is time for beside the proof:
    knobs before precision and engine, which no turn would drop; settings that did not race first.
    """
    process_s = work.process_s(winner)
    proof_s = (POLICY.proof_blocks + 0.5) * (work.process_s(work.default) + process_s)
    share_s = work.left_s - proof_s
    affordable = max(0, int(share_s / (POLICY.proof_blocks * max(0.01, process_s))) - 1)
    raced = work.settings.values()
    order = sorted(without, key=lambda k: (k in ROOT, k == "backend", without[k] in raced))
    sides = {WINNER: winner, **{k: without[k] for k in order[:affordable]}}
    space = work.context.space
    blocks = PairedBlocks({k: COMPARE.short(space.case(s)) for k, s in sides.items()})
    if len(sides) > 1:
        rule = UntilDecided(Question(POLICY.same_log), WINNER, order[:affordable])
        work.take_turns(blocks, rule, work.context.lab.clock_s() + max(1.0, share_s))
    return blocks


def judge_gain(key: str, value: Value, gain: Interval, why: str = "") -> Earned:
    """`gain` is the setting without the key over the winner: under 1 the key is worth having."""
    if gain.value is None:
        return Earned(key, value, Interval(None), True, why or "no time was left to measure it")
    by = Interval(1 / gain.value)
    is_enough = math.log(1 / gain.value) >= POLICY.same_log
    if gain.ci95 is None:
        return Earned(key, value, by, is_enough, why or "too few processes to be certain")
    low, high = 1 / gain.ci95[1], 1 / gain.ci95[0]
    return Earned(key, value, Interval(by.value, (low, high)), low > 1 and is_enough)
