"""Interleaved trials: blocks of every undecided setting, each block the mirror of the one before.

A machine that slows down for a minute then slows a whole block, and the ratios inside it hold; its
trend cancels over two.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from honed.case import Case
from honed.experiment.blocks import mirrored
from honed.record import Record
from honed.run.parent import measure
from honed.scale.sections import Section, Setting

# Enough calls for a median, in a process that is as short as the engine's start allows: what
# varies is the process, so that many short ones say more than few long ones.
_TRIAL = {"duration_s": 0.5, "min_samples": 5, "warmup_s": 1.0, "memory": False}
_LEAST_ROUNDS = 2  # of two blocks: from four on there is an interval


@dataclass(frozen=True, slots=True)
class Trial:
    """One process group's Record, and whose it is."""

    block: int
    section: str
    label: str
    record: Record


@dataclass(frozen=True, slots=True)
class Progress:
    done: int
    block: int
    label: str
    left_s: float


Undecided = Callable[[Section], set[str]]
Shared = list[tuple[Section, Setting]]  # one measurement answers all of them


def run(
    sections: Sequence[Section],
    budget_s: float,
    undecided: Undecided,
    on_progress: Callable[[Progress], None],
) -> Iterator[Trial]:
    """Rounds of two blocks until all is decided, or the next round would end after the budget;
    at least two.

    `undecided` is asked before each round which settings of a section are still worth a process.
    A Case that two sections share is measured once per block. A setting that fails is not tried
    again: its Record says why.
    """
    rng, began_s = random.Random(0), time.monotonic()
    failed: set[str] = set()
    block = done = 0
    while shared := _shared(sections, failed, undecided):
        spent_s = time.monotonic() - began_s
        round_s = 2 * len(shared) * spent_s / done if done else 0.0
        if block >= 2 * _LEAST_ROUNDS and spent_s + round_s > budget_s:
            return
        for order in mirrored(list(shared), rng):
            for key in order:
                if key in failed:
                    continue
                settings = shared[key]
                left_s = max(0.0, budget_s - (time.monotonic() - began_s))
                label = f"{settings[0][0].title}: {settings[0][1].label}"
                on_progress(Progress(done, block + 1, label, left_s))
                record = _measured(settings[0][1].case)
                done += 1
                if not record.ok:
                    failed.add(key)
                for section, setting in settings:
                    yield Trial(block, section.name, setting.label, record)
            block += 1


def _measured(case: Case) -> Record:
    """A process that exported its model first found another machine than the others: again."""
    record = measure(case.replace(**_TRIAL))
    if record.metrics is not None and record.metrics.build_s > 0:
        return measure(case.replace(**_TRIAL))
    return record


def _shared(
    sections: Sequence[Section], failed: set[str], undecided: Undecided
) -> dict[str, Shared]:
    """The settings to measure, by Case: those undecided, and the first that they are held to."""
    by_case: dict[str, Shared] = {}
    for section in sections:
        first, *others = section.settings
        still = undecided(section)
        asked = [s for s in others if s.label in still and s.case.id not in failed]
        if not asked or first.case.id in failed:
            continue
        for setting in (first, *asked):
            by_case.setdefault(setting.case.id, []).append((section, setting))
    return by_case
