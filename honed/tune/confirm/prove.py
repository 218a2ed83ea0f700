"""The proof: the default and the recommendation in turns, in a number of blocks settled before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from honed.experiment.blocks import PairedBlocks
from honed.experiment.policy import COMPARE
from honed.measures import MEASURES, UNITS
from honed.record import Interval, Record
from honed.study import Pooled, Setting
from honed.tune.confirm.work import DEFAULT, Confirmation
from honed.tune.policy import POLICY


@dataclass(frozen=True, slots=True)
class _Planned:
    """All sides in every block, until there are `count` blocks."""

    names: tuple[str, ...]
    count: int
    blocks_per_look: ClassVar[int] = 1

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        failed = any(name in blocks.failed for name in self.names)
        return [] if failed or len(blocks.blocks) >= self.count else self.names


def prove(work: Confirmation, chosen: Setting) -> None:
    """Measure as many blocks as there is time for. Their number is settled before the first one,
    because an interval that may be looked at again and again is twice as wide."""
    side, blocks = work.side_of(chosen), work.blocks
    block_s = work.process_s(work.default) + work.process_s(chosen)
    rounds = 1
    if block_s:
        rounds = min(POLICY.proof_rounds, max(1, math.floor(work.left_s / (2 * block_s))))
    first = len(blocks.blocks)
    work.proof = slice(first, first + 2 * rounds)
    if work.left_s > POLICY.least_blocks * block_s:
        work.enter({DEFAULT: work.default, side: chosen}, COMPARE)
        work.take_turns(blocks, _Planned((DEFAULT, side), work.proof.stop), work.until_s)


def gain(work: Confirmation, chosen: Setting) -> Interval:
    """How many times better than the default; without a value if neither the proof nor the race
    measured both."""
    return work.blocks.planned_gain(work.side_of(chosen), DEFAULT, work.proof)


def pooled(work: Confirmation, side: str, against: str, whole: Record | None) -> Pooled | None:
    """The side's processes together, in the units that people read. Their memory is measured in a
    pass that only the `whole` record has."""
    processes = work.blocks.pooled(side, against)
    if processes is None:
        return None
    p99_s = processes.latency_p99_s
    peak_bytes = whole.memory.rss_peak_bytes if whole is not None and whole.memory else None
    return Pooled(
        value=processes.value * UNITS[MEASURES[work.metric].unit].factor,
        latency_p50_ms=processes.latency_p50_s * 1e3,
        latency_p99_ms=None if p99_s is None else p99_s * 1e3,
        memory_mib=None if peak_bytes is None else peak_bytes / 2**20,
        cosine_min=processes.cosine_min,
        records=processes.records,
    )
