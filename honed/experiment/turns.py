"""Blocks of one process of each side, in mirrored order, until a rule has its answer.

`UntilDecided` answers a question about each side against the first. `Race` drops the sides that
are clearly behind. Any other rule may use `take_turns` too: it sees the blocks, and in
`blocks.failed` why a side failed (a search for the largest batch takes "oom" for its answer).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Draw, Experiment, Failure, Metric, TimeUp, TrialFailed
from honed.experiment.policy import COMPARE, Policy
from honed.statistics.paired import Judgement, Question, judge


class Rule(Protocol):
    """Decides which sides are measured next."""

    blocks_per_look: ClassVar[int]  # 1, or 2 for a block and its mirror

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        """The sides of the next block, none to end. Asked before the first block and at each look.
        Sides that failed are left out of the block, whether the rule names them or not."""


def drop_out(_: Failure) -> None:
    """The experiment goes on without the side that failed."""


def end_all(failure: Failure) -> None:
    """The first failure ends the experiment."""
    raise TrialFailed(failure)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an experiment may go on. `until_s` is on the Lab's clock.

    Once `least_blocks` are measured, no blocks begin that would probably end after `until_s`. With
    `breaks_off`, a process that is being measured at `until_s` is broken off. What `on_failure`
    raises ends the experiment.
    """

    until_s: float = math.inf
    least_blocks: int = 0
    breaks_off: bool = False
    seed: int | None = None
    on_failure: Callable[[Failure], None] = drop_out


def take_turns(
    experiment: Experiment, blocks: PairedBlocks, rule: Rule, terms: Terms
) -> Literal["decided", "budget"]:
    """Measure blocks, adding them to `blocks`, until the rule names no side or the time is up.

    TrialFailed, Ctrl-C and faults of the store are passed on. `blocks` then holds the processes
    measured so far. Of a block that the end of the time breaks off nothing is kept.
    """
    rng, clock_s = random.Random(terms.seed), experiment.lab.clock_s
    count, process_s, mirror = 0, 0.0, list[str]()
    while sides := [side for side in rule.sides(blocks) if side not in blocks.failed]:
        began_s, measured = clock_s(), len(experiment.processes)
        expected_s = process_s * len(sides) * rule.blocks_per_look
        if count >= terms.least_blocks and began_s + expected_s > terms.until_s:
            return "budget"
        for _ in range(rule.blocks_per_look):
            if count % 2 and set(sides) <= set(mirror):
                order = [side for side in mirror if side in sides]
            else:
                order, mirror = mirrored(sides, rng)
            count += 1
            try:
                _measure(experiment, blocks, order, terms)
            except TimeUp:
                return "budget"
        process_s = (clock_s() - began_s) / (len(experiment.processes) - measured)
    return "decided"


def _measure(
    experiment: Experiment, blocks: PairedBlocks, order: Sequence[str], terms: Terms
) -> None:
    """Measure one block: a process of each side in `order` that has not failed."""
    until_s = terms.until_s if terms.breaks_off else math.inf
    block: dict[str, Draw] = {}
    try:
        for side in (s for s in order if s not in blocks.failed):
            drawn = experiment.draw(side, blocks.cases[side], len(blocks.blocks), until_s)
            if isinstance(drawn, Draw):
                block[side] = drawn
            else:
                blocks.failed[side] = drawn
                terms.on_failure(drawn)
    except TimeUp:
        block = {}  # its slow sides would be missing more often than its fast ones
        raise
    finally:
        if block:
            blocks.blocks.append(block)


def mirrored(sides: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """A random order and its mirror image. Each side is as early as it is late, so that a trend of
    the machine cancels, and no rhythm of the machine can favour a side."""
    order = rng.sample(list(sides), len(sides))
    return order, order[::-1]


@dataclass(slots=True)
class UntilDecided:
    """Each of the `others` against `first`, until `question` is answered for all of them.

    A side whose question is answered is measured no more. Blocks before `since` are not judged.
    `metric` may differ from the experiment's; None is the experiment's.
    """

    question: Question
    first: str
    others: Sequence[str]
    since: int = 0
    metric: Metric | None = None
    judgements: dict[str, Judgement] = field(default_factory=dict)
    blocks_per_look: ClassVar[int] = 2

    @property
    def undecided(self) -> list[str]:
        decided = {s for s, j in self.judgements.items() if j.kind != "undecided"}
        return [side for side in self.others if side not in decided]

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        judged = blocks.part(slice(self.since, None))
        if self.metric is not None:
            judged = judged.in_metric(self.metric)
        differences = {side: judged.differences(side, self.first) for side in self.others}
        settled = {s: j for s, j in self.judgements.items() if j.kind != "undecided"}
        measured = {side: values for side, values in differences.items() if values}
        self.judgements = judge(measured, self.question, settled)
        able = [side for side in self.undecided if side not in blocks.failed]
        return [self.first, *able] if able and self.first not in blocks.failed else []


@dataclass(frozen=True, slots=True)
class AllDecided:
    """Several questions at once. A side that two questions share is measured once per block."""

    questions: Sequence[UntilDecided]
    blocks_per_look: ClassVar[int] = 2

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        return list(dict.fromkeys(s for q in self.questions for s in q.sides(blocks)))


@dataclass(slots=True)
class Race:
    """Sides in turns, of which those fall out that are behind the best by more than two standard
    errors, so that the time goes to those that are hard to tell apart.

    Processes of one setting differ by as much as good settings do: the best of many single
    processes is the luckiest one (racing: Maron & Moore 1994, "Hoeffding races"; Birattari et al.
    2002). `left` holds the sides that are still in the race.
    """

    left: list[str]
    policy: Policy = COMPARE
    blocks_per_look: ClassVar[int] = 1
    _looks: int = 0

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        self.left = [side for side in self.left if side not in blocks.failed]
        if self.left and self._looks >= self.policy.least_race_blocks:
            first = self.left[0]
            best = min(self.left, key=lambda side: blocks.behind(side, first))
            errors = self.policy.behind_errors
            self.left = [
                s for s in self.left if blocks.behind(s, best) <= errors * blocks.error(s, best)
            ]
        ended = len(self.left) < 2 or self._looks >= self.policy.most_race_blocks
        self._looks += 1
        return [] if ended else self.left
