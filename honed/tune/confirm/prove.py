"""The proof: the path from the default to the winner in turns, and how much of it is proven.

1. The whole path, in one block. From now on every step has a value.
2. Only the knobs, which have short processes and small gains. First all of them: those without a
   sign of a gain are dropped. Then those in doubt: those without a proven gain are dropped where
   proven ones follow.
3. The whole path that is left, in as many blocks as there is time for. Half of the time is before
   an engine or a precision may be dropped for gaining nothing, because knobs may follow that do.

The number of blocks of each part depends on the time alone, so that the intervals hold. All blocks
are used together: the product of the steps is exactly the gain. The steps share one level of
certainty by the method of Holm 1979 ("A simple sequentially rejective multiple test procedure"):
what is proven leaves its part of the level to the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import ClassVar

from honed.experiment.blocks import PairedBlocks
from honed.experiment.policy import SEARCH
from honed.knobs import owner_of
from honed.record import Interval
from honed.statistics.paired import ALPHA
from honed.study import IN_TURNS, Setting
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
    proving.drop_roots()
    proving.measure_rest()
    return proving.result()


@dataclass(slots=True)
class _Proving:
    """A proof while it is measured.

    `setting` is what is left of the winner. `tests` are the steps that share the level at which a
    step is believed: at it, noise alone makes one of all steps look like a gain in one study of a
    hundred. `sure` are the knobs that were proven so once. `over` are settings that no step leads
    to.
    """

    work: Confirmation
    winner: Setting
    setting: Setting = field(init=False)
    tests: int = field(init=False)
    over: set[Setting] = field(default_factory=set)
    dropped: list[Gained] = field(default_factory=list)
    sure: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.setting = self.winner
        self.tests = max(1, len(self._legs()))

    @property
    def alpha(self) -> float:
        """The level of one step, while nothing is known of the others (two-sided)."""
        return 2 * POLICY.false_step / self.tests

    # --- Measuring --------------------------------------------------------------------------

    def measure_path(self, most: int, share: float = 1.0) -> None:
        """At most so many blocks of the whole path and of its rival, in a share of the time."""
        settings = self._affordable([*self._stops(), *self._rivals()])
        block_s = self._block_s(settings)
        count = math.floor(share * self.work.left_s / block_s) if block_s else most
        self._measure(settings, max(1, min(most, count)))

    def drop_knobs(self) -> None:
        """Measure the knobs of the path in turns, and leave those out that keep proven ones from
        being recommended. The settings after them are then new ones, and are measured again.

        After the first part with a setting only those go that show no sign of a gain: few blocks
        prove little, and the time is then for those in doubt."""
        for number in range(POLICY.knob_rounds if self._may_drop else 0):
            is_first = number == 0 or not self._knows_all_knobs()
            knobs = self._knobs() if is_first else self._knobs_in_doubt()
            share = POLICY.knob_share if is_first else POLICY.doubt_share
            left_s = self.work.left_s - self._block_s(self._stops())  # for the path that is left
            count = int(share * left_s / max(0.01, self._block_s(knobs)))
            if left_s < 0 or (number and knobs and count < 1):
                return
            self._measure(knobs, min(count, POLICY.most_blocks))
            before = self.setting
            self.setting = self._without_knobs(self._hopeless() if is_first else self._blocking())
            if self.setting == before and not is_first:
                return

    def measure_rest(self) -> None:
        """The path that is left in all of the time that is left: again where processes turn out to
        be shorter than was expected, and then the knobs in less than a block of the path."""
        self.measure_path(POLICY.most_blocks)
        if self._block_s([*self._stops(), *self._rivals()]) <= self.work.left_s:
            self.measure_path(POLICY.most_blocks)
        if knobs := self._knobs():
            count = int(self.work.left_s / max(0.01, self._block_s(knobs)))
            self._measure(knobs, min(POLICY.most_blocks, count))

    def _knobs(self) -> tuple[Setting, ...]:
        """The settings of the path from the one that changes only the engine and the precision;
        none where it has no knobs."""
        roots = len(list(takewhile(lambda leg: leg.is_root, self._legs())))
        knobs = self._stops()[roots:]
        return knobs if len(knobs) > 1 else ()

    def _knows_all_knobs(self) -> bool:
        """Whether each knob of the path has been measured in turns."""
        known = self.work.known()
        return all(known.in_turns(setting, self.work.default) for setting in self._knobs())

    def _knobs_in_doubt(self) -> tuple[Setting, ...]:
        """The settings before and after each knob that is not proven."""
        doubted = {s for g in self._unproven() for s in (g.before, g.leg.setting)}
        return tuple(s for s in self._knobs() if s in doubted)

    def drop_roots(self) -> None:
        """Measure the path in half of the time that is left, and drop an engine or a precision
        that gains nothing, as long as there is one. The knobs that follow it stay."""
        for _ in range(POLICY.root_rounds if self._may_drop else 0):
            if self.work.left_s < 2 * self._block_s([*self._stops(), *self._rivals()]):
                return
            self.measure_path(POLICY.most_blocks, POLICY.root_share)
            before, self.setting = self.setting, self._with_proven_roots()
            if self.setting == before:
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

    def _rivals(self) -> tuple[Setting, ...]:
        """The same setting with the default's engine, where the step to its engine alone is not
        proven: the engine may still be needed for its precision or for its knobs."""
        known = self.work.known()
        steps = self._gained(known)
        if not (self._may_drop and self._engine_is_open(steps, known)):
            return ()
        if steps[0].source != IN_TURNS:
            return ()  # turns may still prove it
        is_new = self._rival not in self._stops()
        return (self._rival,) if self._rival_is_able and is_new else ()

    def result(self) -> Proof:
        """The longest part of the path that is proven. A step that a limit needs is taken too."""
        work, known = self.work, self.work.known()
        if not known.knows(work.default):
            return Proof(self.setting, Interval(None))
        if not self._may_drop:
            steps = self._gained(known)
            return Proof(self.setting, whole_gain(work.default, steps, known), steps)
        steps = self._with_engine_judged(known)
        proven = self._proven(steps, known)
        kept = list(takewhile(lambda s: s in proven or self._is_still_proven(s, known), steps))
        while len(kept) < len(steps) and not self._keep_limits(kept):
            kept.append(steps[len(kept)])
        if not self._keep_limits(kept):
            self.setting, self.dropped = self.winner, []
            steps = self._gained(known)
            kept = list(steps)
        dropped = self._in_order(*self.dropped, *steps[len(kept) :])
        if not kept:
            return Proof(work.default, Interval(1.0), (), dropped)
        gain = whole_gain(work.default, kept, known)
        return Proof(kept[-1].leg.setting, gain, tuple(kept), dropped)

    def _hopeless(self) -> list[Gained]:
        """The knobs measured in turns whose gains are smaller than their noise."""
        known = self.work.known()
        return [
            s for s in self._gained(known)
            if not s.leg.is_root and not s.is_proven(known, POLICY.open_level)
        ]  # fmt: skip

    def _unproven(self) -> list[Gained]:
        """The knobs whose gains are not certain."""
        known = self.work.known()
        steps = self._gained(known)
        proven = self._proven(steps, known)
        return [s for s in steps if not s.leg.is_root and s not in proven]

    def _blocking(self) -> list[Gained]:
        """The knobs that are not proven and come before one that is. Others may still be proven by
        the blocks of the path that is left."""
        known = self.work.known()
        steps = self._gained(known)
        proven = self._proven(steps, known)
        self.sure |= {key for s in proven if not s.leg.is_root for key in s.leg.keys}
        last = max((place for place, s in enumerate(steps) if s in proven), default=0)
        return [s for s in steps[:last] if not s.leg.is_root and s not in proven]

    def _proven(self, steps: Sequence[Gained], known: Known) -> list[Gained]:
        """The steps whose gains are certain, when all steps of the winner share the level."""
        proven = list[Gained]()
        while True:
            level = 2 * POLICY.false_step / max(1, self.tests - len(proven))
            more = [s for s in steps if s not in proven and s.is_proven(known, level)]
            if not more:
                return proven
            proven += more

    def _without_knobs(self, unproven: Sequence[Gained]) -> Setting:
        """The setting without some of its knobs. Where it cannot run or breaks a limit, the last
        setting of the path before the first of these knobs."""
        if not unproven:
            return self.setting
        fewer = self.work.without(self.setting, *(k for s in unproven for k in s.leg.keys))
        able = self.work.context.space.refusal(fewer) is None and fewer not in self.work.failed
        setting = fewer if able else unproven[0].before
        if not self.work.keeps_limits(setting, self.work.path_side(setting)):
            return self.setting
        self.dropped += unproven
        return setting

    def _with_proven_roots(self) -> Setting:
        """The setting without its engine or its precision, if it is not better with it."""
        known = self.work.known()
        steps = self._gained(known)
        if self._engine_is_open(steps, known):
            return (
                self._rival if self._is_no_better_than_rival(steps, known, ALPHA) else self.setting
            )
        for step in steps[:-1]:
            if step.leg.keys == ("precision",) and not step.is_proven(known, ALPHA):
                fewer = self.work.without(self.setting, "precision")
                able = self.work.context.space.refusal(fewer) is None
                if able and self.work.keeps_limits(fewer, self.work.path_side(fewer)):
                    self.dropped.append(step)
                    return fewer
        return self.setting

    def _with_engine_judged(self, known: Known) -> tuple[Gained, ...]:
        """The steps of the path. An engine that is not proven alone is judged together with its
        precision or its knob. If the default's engine does as well, the path leads there; if it
        was not measured so, the path ends before the engine, unless trials tell that it is far
        slower there."""
        steps = self._gained(known)
        if not self._engine_is_open(steps, known):
            return steps
        if self._is_no_better_than_rival(steps, known, self.alpha):
            self.setting = self._rival
        elif (
            not self._rival_is_able
            or known.in_turns(self._rival, steps[-1].leg.setting)
            or self._is_needed_by_trials(steps[1].leg.setting, known)
        ):
            self.over.add(steps[0].leg.setting)
        return self._gained(known)

    def _is_needed_by_trials(self, setting: Setting, known: Known) -> bool:
        """Whether a trial of `setting` was far faster than one of it with the default's engine."""
        rival, trials = self.work.without(setting, "backend"), known.trials
        if rival not in trials or setting not in trials:
            return False
        return trials[rival] - trials[setting] >= math.log(POLICY.in_doubt)

    def _is_no_better_than_rival(
        self, steps: Sequence[Gained], known: Known, alpha: float
    ) -> bool:
        """Whether turns do not show that the setting gains from its engine."""
        last, rival = steps[-1].leg.setting, self._rival
        if not known.in_turns(rival, last) or known.proves(last, rival, alpha):
            return False
        if self._is_far_behind(rival, last, known):
            return False
        if not self.work.keeps_limits(rival, self.work.path_side(rival)):
            return False
        self.dropped.append(steps[0])
        return True

    def _is_far_behind(self, rival: Setting, last: Setting, known: Known) -> bool:
        """Whether turns and the trials, where there are any, both tell that the rival is far
        slower, although a block or two of noisy processes do not prove it."""
        far = math.log(POLICY.in_doubt)
        if math.log(known.gain(last, rival).value or 1.0) < far:
            return False
        trials = known.trials
        if rival not in trials or last not in trials:
            return True
        return trials[rival] - trials[last] >= far

    def _engine_is_open(self, steps: Sequence[Gained], known: Known) -> bool:
        """Whether the engine is a step that is not proven, and the next step needs the engine."""
        if len(steps) < 2 or steps[0].leg.keys != ("backend",):
            return False
        (key, *_) = steps[1].leg.keys
        is_needed = key == "precision" or owner_of(key) == self.setting.branch[0]
        return is_needed and not steps[0].is_proven(known, self.alpha)

    @property
    def _rival(self) -> Setting:
        return self.work.without(self.setting, "backend")

    @property
    def _rival_is_able(self) -> bool:
        space = self.work.context.space
        return space.refusal(self._rival) is None and self._rival not in self.work.failed

    def _is_still_proven(self, step: Gained, known: Known) -> bool:
        """Knobs that were proven strictly only have to be certain in the end."""
        return self.sure.issuperset(step.leg.keys) and step.is_proven(known, ALPHA)

    def _in_order(self, *steps: Gained) -> tuple[Gained, ...]:
        """Steps in the order of the winner's path."""
        legs = path(self.work.context.space, self.winner)
        places = {key: place for place, leg in enumerate(legs) for key in leg.keys}
        return tuple(sorted(steps, key=lambda s: places.get(s.leg.keys[0], 0)))

    def _keep_limits(self, kept: Sequence[Gained]) -> bool:
        setting = kept[-1].leg.setting if kept else self.work.default
        return self.work.keeps_limits(setting, self.work.path_side(setting))
