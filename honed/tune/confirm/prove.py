"""The proof: the path from the default to the winner in turns, and how much of it is proven.

1. The whole path, in two blocks. From now on every step has a value.
2. Only the knobs, which have short processes and small gains. Knobs without a proven gain are
   dropped, and the path without them is measured.
3. The whole path that is left, in as many blocks as there is time for.

The number of blocks of each part depends on the time alone, so that the intervals hold. All blocks
are used together: the product of the steps is exactly the gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import ClassVar

from honed.experiment.blocks import PairedBlocks
from honed.experiment.policy import SEARCH
from honed.record import Interval
from honed.statistics.paired import ALPHA
from honed.study import Setting
from honed.tune.confirm.work import Confirmation
from honed.tune.path import Leg, path, stops
from honed.tune.policy import POLICY
from honed.tune.steps import Gained, Known, gained, whole_gain


@dataclass(frozen=True, slots=True)
class Proof:
    """The setting to recommend, its gain over the default, the steps to it, and the steps to
    settings whose gain was not proven."""

    chosen: Setting
    gain: Interval
    steps: tuple[Gained, ...] = ()
    dropped: tuple[Gained, ...] = ()


@dataclass(frozen=True, slots=True)
class _Planned:
    """All sides in every block, until there are `count` blocks."""

    names: tuple[str, ...]
    count: int
    blocks_per_look: ClassVar[int] = 1

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        able = [name for name in self.names if name not in blocks.failed]
        return able if len(able) > 1 and len(blocks.blocks) < self.count else []


def prove(work: Confirmation, winner: Setting) -> Proof:
    """Measure the path to the winner, and keep what is proven of it."""
    proving = _Proving(work, winner)
    proving.measure_path(POLICY.first_blocks)
    proving.drop_knobs()
    proving.measure_path(POLICY.most_blocks, *proving.rivals())
    return proving.result()


@dataclass(slots=True)
class _Proving:
    """A proof while it is measured.

    `setting` is what is left of the winner. `alpha` is the level at which a step is believed: at
    it, noise alone makes one of all steps look like a gain in one study of a hundred. `over` are
    settings that no step leads to.
    """

    work: Confirmation
    winner: Setting
    setting: Setting = field(init=False)
    alpha: float = field(init=False)
    over: set[Setting] = field(default_factory=set)
    dropped: list[Gained] = field(default_factory=list)
    knobs_were_judged: bool = False

    def __post_init__(self) -> None:
        self.setting = self.winner
        self.alpha = 2 * POLICY.false_step / max(1, len(self._legs()))

    # --- Measuring --------------------------------------------------------------------------

    def measure_path(self, most: int, *more: Setting) -> None:
        """At most so many blocks of the whole path, and of `more` settings beside it."""
        settings = self._affordable([*self._stops(), *more])
        block_s = self._block_s(settings)
        count = math.floor(self.work.left_s / block_s) if block_s else most
        self._measure(settings, max(1, min(most, count)))

    def drop_knobs(self) -> None:
        """Measure the knobs of the path in turns, and leave those out that are not proven. Where
        one in the middle goes, the settings after it are new ones, and are measured again."""
        for _ in range(POLICY.knob_rounds if self._may_drop else 0):
            roots = len(list(takewhile(lambda leg: leg.is_root, self._legs())))
            knobs = self._stops()[roots:]
            left_s = self.work.left_s - self._block_s(self._stops())  # for the path that is left
            count = int(POLICY.knob_share * left_s / max(0.01, self._block_s(knobs)))
            if len(knobs) < 2 or count < POLICY.least_knob_blocks:
                return
            self._measure(knobs, min(count, POLICY.most_blocks))
            self.knobs_were_judged = True
            before, self.setting = self.setting, self._with_proven_knobs()
            if self.setting == before or self.setting in knobs:
                return

    def _measure(self, settings: Sequence[Setting], count: int) -> None:
        if len(settings) < 2:
            return
        work = self.work
        sides = {work.path_side(setting): setting for setting in settings}
        work.enter(sides, SEARCH)
        rule = _Planned(tuple(sides), len(work.blocks.blocks) + count)
        work.take_turns(rule, work.until_s)

    def _affordable(self, settings: Sequence[Setting]) -> Sequence[Setting]:
        """All settings. Where there is no time for a block of them, the two ends of the path and
        as many as possible of those that no trial tells anything of; none without time for the
        ends."""
        left_s = self.work.left_s
        if self._block_s(settings) <= left_s:
            return settings
        trials = self.work.known().trials
        few = [s for s in settings if s in (self.work.default, self.setting)]
        if self._block_s(few) > left_s:
            return []
        for setting in settings:
            is_unknown = setting not in trials and setting not in few
            if is_unknown and self._block_s([*few, setting]) <= left_s:
                few.append(setting)
        return few

    def _block_s(self, settings: Sequence[Setting]) -> float:
        return POLICY.round_margin * sum(
            self.work.process_s(setting, with_export=True) for setting in settings
        )

    # --- The path ---------------------------------------------------------------------------

    def _legs(self) -> tuple[Leg, ...]:
        return path(self.work.context.space, self.setting, self.work.failed | self.over)

    def _stops(self) -> tuple[Setting, ...]:
        return stops(self.work.context.space, self._legs())

    def _gained(self, known: Known) -> tuple[Gained, ...]:
        return gained(self.work.default, self._legs(), known)

    # --- Judging ----------------------------------------------------------------------------

    @property
    def _may_drop(self) -> bool:
        """Several objectives are not judged by the one that turns compare."""
        return len(self.work.context.question.objectives) == 1

    def rivals(self) -> tuple[Setting, ...]:
        """The default's engine in the winner's precision, where the step to the winner's engine
        alone is not proven: it may still be the only engine that is fast in this precision."""
        known = self.work.known()
        if not self._may_drop or not self._engine_is_open(self._gained(known), known):
            return ()
        space = self.work.context.space
        rival = self._rival
        return (rival,) if rival not in self._stops() and space.refusal(rival) is None else ()

    def result(self) -> Proof:
        """The longest part of the path that is proven. A step that a limit needs is taken too."""
        work, known = self.work, self.work.known()
        if not known.knows(work.default):
            return Proof(self.setting, Interval(None))
        if not self._may_drop:
            steps = self._gained(known)
            return Proof(self.setting, whole_gain(work.default, steps, known), steps)
        steps = self._with_engine_judged(known)
        kept = list(takewhile(lambda s: s.is_proven(known, self._level(s)), steps))
        while len(kept) < len(steps) and not self._keep_limits(kept):
            kept.append(steps[len(kept)])
        if not self._keep_limits(kept):
            self.setting, self.dropped = self.winner, []
            steps = self._gained(known)
            kept = list(steps)
        dropped = (*self.dropped, *steps[len(kept) :])
        if not kept:
            return Proof(work.default, Interval(1.0), (), dropped)
        gain = whole_gain(work.default, kept, known)
        return Proof(kept[-1].leg.setting, gain, tuple(kept), dropped)

    def _with_proven_knobs(self) -> Setting:
        """The setting without the knobs whose steps are not proven. Where it cannot run or breaks
        a limit, the last setting of the path before the first of these knobs."""
        known = self.work.known()
        unproven = [
            s for s in self._gained(known)
            if not s.leg.is_root and not s.is_proven(known, self.alpha)
        ]  # fmt: skip
        if not unproven:
            return self.setting
        fewer = self.work.without(self.setting, *(k for s in unproven for k in s.leg.keys))
        able = self.work.context.space.refusal(fewer) is None and fewer not in self.work.failed
        setting = fewer if able else unproven[0].before
        if not self.work.keeps_limits(setting, self.work.path_side(setting)):
            return self.setting
        self.dropped += unproven
        return setting

    def _with_engine_judged(self, known: Known) -> tuple[Gained, ...]:
        """The steps of the path. An engine that is not proven alone is judged together with its
        precision. If the default's engine is not slower in this precision, the path leads there.
        """
        steps = self._gained(known)
        if not self._engine_is_open(steps, known):
            return steps
        self.over.add(steps[0].leg.setting)
        root, rival = steps[1].leg.setting, self._rival
        if known.in_turns(rival, root) and not known.proves(root, rival, self.alpha):
            self.dropped.append(steps[0])
            self.setting = rival
        return self._gained(known)

    def _engine_is_open(self, steps: Sequence[Gained], known: Known) -> bool:
        keys = [s.leg.keys for s in steps[:2]]
        alone = keys == [("backend",), ("precision",)]
        return alone and not steps[0].is_proven(known, self.alpha)

    @property
    def _rival(self) -> Setting:
        return self.work.context.space.normal(
            {**self.work.default, "precision": self.setting["precision"]}
        )

    def _level(self, step: Gained) -> float:
        """Knobs that were judged strictly only have to be certain in the end."""
        judged = self.knobs_were_judged and not step.leg.is_root
        return ALPHA if judged else self.alpha

    def _keep_limits(self, kept: Sequence[Gained]) -> bool:
        setting = kept[-1].leg.setting if kept else self.work.default
        return self.work.keeps_limits(setting, self.work.path_side(setting))
