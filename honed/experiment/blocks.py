"""The order of the trials, and when to stop: no engine, no clock, no statistics of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from honed.statistics.paired import Judgement, Question, judge


@dataclass(frozen=True, slots=True)
class Plan:
    """The sides, the first of which the others are held against; what is asked of them."""

    sides: tuple[str, ...]
    question: Question
    seed: int


@dataclass(slots=True)
class Standing:
    """What is known so far. `values[side][block]` is the log of one process's time per call."""

    values: dict[str, list[float]]
    judgements: dict[str, Judgement] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        kinds = [j.kind for j in self.judgements.values()]
        return bool(kinds) and "undecided" not in kinds

    @property
    def trials(self) -> int:
        return sum(map(len, self.values.values()))


Draw = Callable[[str, int], float]  # (side, block) -> log of the time per call of a new process


def run(plan: Plan, draw: Draw, go_on: Callable[[Standing], bool]) -> Standing:
    """Draw in rounds of two blocks, and look after each, until all is decided or `go_on` says no.

    `go_on` sees the standing before the first round and after every one. A side that is decided
    is measured no more. Whatever `draw` raises ends it.
    """
    first = plan.sides[0]
    standing = Standing({side: [] for side in plan.sides})
    rng = random.Random(plan.seed)
    while go_on(standing) and not standing.decided:
        settled = {s: j for s, j in standing.judgements.items() if j.kind != "undecided"}
        active = [side for side in plan.sides if side not in settled]
        drawn = len(standing.values[first])
        for block, order in enumerate(mirrored(active, rng), drawn):
            for side in order:
                standing.values[side].append(draw(side, block))
        standing.judgements = judge(differences(standing.values, first), plan.question, settled)
    return standing


def mirrored(sides: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """A random order and its mirror image: each side is as early as it is late, so that a trend
    of the machine cancels, and no rhythm of it can favour a side."""
    order = rng.sample(list(sides), len(sides))
    return order, order[::-1]


def differences(values: Mapping[str, Sequence[float]], first: str) -> dict[str, list[float]]:
    """Each other side's blocks against the first one's; a side that ended early has fewer."""
    return {
        side: [mine - base for mine, base in zip(own, values[first], strict=False)]
        for side, own in values.items()
        if side != first
    }
