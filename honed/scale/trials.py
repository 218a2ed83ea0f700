"""Interleaved trials: every setting once per block, in a new random order each time.

A machine that slows down for a minute then slows a whole block, and the ratios inside it hold.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from honed.record import Record
from honed.run.parent import measure
from honed.scale.sections import Section, Setting

# Enough calls for a median, in a process that is as short as the engine's start allows: what
# varies is the process, so that many short ones say more than few long ones.
_TRIAL = {"duration_s": 0.8, "min_samples": 5, "warmup_s": 1.0, "memory": False}
_LEAST_BLOCKS = 3


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


def run(
    sections: Sequence[Section], budget_s: float, on_progress: Callable[[Progress], None]
) -> Iterator[Trial]:
    """Blocks until the next would end after the budget; at least three, for an interval.

    A Case that two sections share is measured once per block. A setting that fails is not tried
    again: its Record says why.
    """
    order = random.Random(0)
    began_s = time.monotonic()
    failed: set[str] = set()
    block, done = 0, 0
    while True:
        shared = _shared(sections, failed)
        order.shuffle(shared)
        for settings in shared:
            spent_s = time.monotonic() - began_s
            label = f"{settings[0][0].title}: {settings[0][1].label}"
            on_progress(Progress(done, block + 1, label, max(0.0, budget_s - spent_s)))
            record = measure(settings[0][1].case.replace(**_TRIAL))
            done += 1
            if not record.ok:
                failed.add(settings[0][1].case.id)
            for section, setting in settings:
                yield Trial(block, section.name, setting.label, record)
        block += 1
        spent_s = time.monotonic() - began_s
        if block >= _LEAST_BLOCKS and spent_s * (block + 1) / block > budget_s:
            return


def _shared(sections: Sequence[Section], failed: set[str]) -> list[list[tuple[Section, Setting]]]:
    """Settings by Case: one measurement answers all of them."""
    by_case: dict[str, list[tuple[Section, Setting]]] = {}
    for section in sections:
        for setting in section.settings:
            if setting.case.id not in failed:
                by_case.setdefault(setting.case.id, []).append((section, setting))
    return list(by_case.values())
