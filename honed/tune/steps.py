"""The gain of each step of a path, from processes in turns, and from trials where there are none.

Each setting of the path gets one level, the logarithm of its time: fitted to all blocks, or from
its trials, relative to those of its neighbours on the path. A step is the difference of two
levels, so that the product of the steps is always the gain of the whole path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from honed.experiment.blocks import speedup
from honed.record import Interval
from honed.statistics.additive import Effects
from honed.statistics.paired import ALPHA
from honed.study import BY_TRIALS, IN_TURNS, Candidate, PathStep, Setting, Source
from honed.tune.path import Leg
from honed.tune.policy import POLICY
from honed.tune.question import Question


@dataclass(frozen=True, slots=True)
class Known:
    """What has been measured of settings: `sides` are their names in the blocks that `effects` are
    fitted to, `trials` the logarithms of their costs by trials. `has_luck` is false for objectives
    that one trial tells."""

    effects: Effects
    sides: Mapping[Setting, str]
    trials: Mapping[Setting, float]
    has_luck: bool = True

    def knows(self, setting: Setting) -> bool:
        """Whether turns or trials tell anything of the setting."""
        return setting in self.trials or self.sides.get(setting, "") in self.effects.counts

    def in_turns(self, setting: Setting, against: Setting) -> bool:
        one, other = self.sides.get(setting, ""), self.sides.get(against, "")
        return self.effects.connected(one, other)

    def gain(self, of: Setting, over: Setting, alpha: float = ALPHA) -> Interval:
        """How many times better `of` is; both were measured in turns."""
        return speedup(self.effects.difference(self.sides[of], self.sides[over], alpha))

    def proves(self, of: Setting, over: Setting, alpha: float) -> bool:
        """Whether turns show that `of` is better, and by a hundredth."""
        gain = self.gain(of, over, alpha)
        if gain.value is None or gain.ci95 is None:
            return False
        return math.log(gain.value) >= POLICY.same_log and gain.ci95[0] > 1


@dataclass(frozen=True, slots=True)
class Gained:
    """One measured leg of a path that comes from the setting `before`."""

    leg: Leg
    before: Setting
    gain: Interval
    source: Source

    @property
    def step(self) -> PathStep:
        return PathStep(self.leg.key, self.leg.value, self.gain, self.source)

    def is_proven(self, known: Known, alpha: float) -> bool:
        """Whether the gain is shown: certain, and a hundredth. Without turns, one trial each must
        tell it."""
        if self.source == IN_TURNS:
            return known.proves(self.leg.setting, self.before, alpha)
        least = math.log(POLICY.in_doubt) if known.has_luck else POLICY.same_log
        return math.log(self.gain.value or 1.0) >= least


def trial_costs(question: Question, ranked: Sequence[Candidate]) -> dict[Setting, float]:
    """The logarithm of each setting's cost by its trials: of the objective that turns compare, or
    of all objectives where no turns are needed."""
    measures = question.measures
    compared = [i for i, m in enumerate(measures) if question.metric and m.compared_by]
    able = [c for c in ranked if c.ok and c.costs]
    return {
        c.setting: math.log(max(1e-300, c.costs[compared[0]] if compared else c.cost))
        for c in able
    }


def gained(default: Setting, legs: Sequence[Leg], known: Known) -> tuple[Gained, ...]:
    """The legs with their gains. A leg to a setting that nothing is known of is joined with the
    next one; without any level of the default, or after the last known setting, there is none."""
    stops = [default, *(leg.setting for leg in legs)]
    levels = _levels(stops, known)
    if default not in levels:
        return ()
    joined, keys = list[Leg](), tuple[str, ...]()
    for leg in legs:
        keys += leg.keys
        if leg.setting in levels:
            joined.append(replace(leg, keys=keys))
            keys = ()
    result = []
    for before, leg in zip([default, *(leg.setting for leg in joined)], joined, strict=False):
        after = leg.setting
        if known.in_turns(after, before):
            result.append(Gained(leg, before, known.gain(after, before), IN_TURNS))
        else:
            ratio = math.exp(levels[before] - levels[after])
            result.append(Gained(leg, before, Interval(ratio), BY_TRIALS))
    return tuple(result)


def whole_gain(default: Setting, steps: Sequence[Gained], known: Known) -> Interval:
    """The gain of the whole path: from turns, else the product of its steps."""
    if not steps:
        return Interval(None)
    last = steps[-1].leg.setting
    if known.in_turns(last, default):
        return known.gain(last, default)
    return Interval(math.prod(s.gain.value or 1.0 for s in steps))


def _levels(stops: Sequence[Setting], known: Known) -> dict[Setting, float]:
    """The level of each setting that anything is known of."""
    first = next((s for s in stops if known.sides.get(s, "") in known.effects.counts), None)
    turned = [s for s in stops if first is not None and known.in_turns(s, first)]
    if first is None or len(turned) < 2:
        return {s: known.trials[s] for s in stops if s in known.trials}
    side = known.sides[first]
    levels = {s: known.effects.difference(known.sides[s], side).log for s in turned}
    anchors = [s for s in turned if s in known.trials]
    for stop in stops:
        if stop in levels or stop not in known.trials or not anchors:
            continue
        place = stops.index(stop)
        earlier = [a for a in anchors if stops.index(a) < place][-1:]
        later = [a for a in anchors if stops.index(a) > place][:1]
        near = [levels[a] - known.trials[a] for a in (*earlier, *later)]
        levels[stop] = known.trials[stop] + sum(near) / len(near)
    return levels
