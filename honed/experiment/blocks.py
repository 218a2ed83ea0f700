"""PairedBlocks: processes kept block by block, and what the blocks say about two sides.

A block holds one process of each side. Blocks of several experiments may be pooled, because the
confidence sequence stays valid however often we look at it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from honed.case import Case
from honed.experiment.draw import Draw, Failure, Metric
from honed.experiment.policy import COMPARE, Policy
from honed.record import Interval
from honed.statistics.additive import Effects, fit
from honed.statistics.paired import Estimate, median_error, process_noise, sequence

Block = Mapping[str, Draw]


@dataclass(frozen=True, slots=True)
class Pooled:
    """The processes of one side together: medians over the processes, percentiles over all calls.
    `latency_p99_s` is None while there are too few calls."""

    value: float
    latency_p50_s: float
    latency_p99_s: float | None
    cosine_min: float | None
    records: tuple[str, ...]


@dataclass(slots=True)
class PairedBlocks:
    """The Case of each side, the blocks measured so far, and the sides that failed."""

    cases: dict[str, Case] = field(default_factory=dict)
    policy: Policy = COMPARE
    blocks: list[Block] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)

    def part(self, blocks: slice) -> PairedBlocks:
        """The same sides with some of the blocks."""
        return PairedBlocks(self.cases, self.policy, self.blocks[blocks], self.failed)

    def in_metric(self, metric: Metric) -> PairedBlocks:
        """The same processes, compared by another metric."""
        blocks: list[Block] = [
            {side: drawn for side, d in block.items() if (drawn := Draw.of(d.record, metric))}
            for block in self.blocks
        ]
        return PairedBlocks(self.cases, self.policy, blocks, self.failed)

    def draws(self, *sides: str) -> list[Draw]:
        return [draw for block in self.blocks for side, draw in block.items() if side in sides]

    def elapsed_s(self, *sides: str) -> float | None:
        """The median time that a process of these sides took; None if none was measured."""
        times_s = [d.record.elapsed_s for d in self.draws(*sides) if d.record.elapsed_s]
        return float(np.median(times_s)) if times_s else None

    def differences(self, side: str, against: str) -> list[float]:
        """The logarithm of how much slower `side` is, for each block that has both sides."""
        both = [block for block in self.blocks if side in block and against in block]
        return [block[side].log_time - block[against].log_time for block in both]

    def behind(self, side: str, against: str) -> float:
        """The median of the differences; zero without any. Now and then another program slows one
        process by a tenth, and few blocks cannot outweigh that in a mean."""
        differences = self.differences(side, against)
        return float(np.median(differences)) if differences else 0.0

    def error(self, side: str, against: str) -> float:
        """The standard error of `behind`, from the noise of the processes of all sides: two sides
        alone would give only a few numbers."""
        return median_error(len(self.differences(side, against)), self.noise())

    def noise(self) -> float:
        """How much processes of one side differ: the standard deviation of their logarithms."""
        sides = sorted({side for block in self.blocks for side in block})
        pairs = [self.differences(*pair) for pair in combinations(sides, 2)]
        return max(self.policy.least_noise, process_noise(pairs))

    def gain(self, side: str, against: str) -> Interval:
        """How many times as fast `side` is, with an interval that holds at any look."""
        differences = self.differences(side, against)
        return speedup(sequence(differences)) if differences else Interval(None)

    def effects(self) -> Effects:
        """The log times of all sides, fitted to all blocks together, for blocks whose number did
        not depend on their times."""
        times = [{side: draw.log_time for side, draw in block.items()} for block in self.blocks]
        return fit(times, self.policy.noise)

    def pooled(self, side: str, against: str | None = None) -> Pooled | None:
        """The side's processes together, in the blocks that also hold `against` if there are any.
        The percentiles are over the calls of every process of the side."""
        draws = self.draws(side)
        paired = [b[side] for b in self.blocks if side in b and against in b] or draws
        calls_s = self.calls_s(side)
        if not calls_s:
            return None
        enough = len(calls_s) >= self.policy.percentile_calls
        cosines = [d.record.fidelity.cosine_min for d in paired if d.record.fidelity is not None]
        return Pooled(
            value=float(np.median([d.value for d in paired])),
            latency_p50_s=float(np.median(calls_s)),
            latency_p99_s=float(np.quantile(calls_s, 0.99)) if enough else None,
            cosine_min=min(cosines, default=None),
            records=tuple(d.record_id for d in paired),
        )

    def calls_s(self, side: str) -> list[float]:
        """The times of all calls of all the side's processes."""
        samples = [d.record.samples for d in self.draws(side)]
        return [s for each in samples if each for instance in each.latency_s for s in instance]


def speedup(slowdown: Estimate) -> Interval:
    """The estimate as a factor over 1 for faster; without an interval while there is none."""
    if math.isinf(slowdown.half):
        return Interval(math.exp(-slowdown.log))
    limits = (math.exp(-slowdown.high), math.exp(-slowdown.low))
    return Interval(math.exp(-slowdown.log), limits)
