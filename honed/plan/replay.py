"""Replay: the allocations of a timeline, in their order, on an allocator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from honed.plan.allocator import AllocationFailedError, Allocator
from honed.timeline import Block, StepPhase, Timeline


@dataclass(frozen=True, slots=True)
class Failure:
    """The first allocation that the device has no room for."""

    size_bytes: int
    held_bytes: int  # reserved at that moment
    op: str
    module: str
    phase: StepPhase


@dataclass(frozen=True, slots=True)
class Usage:
    """Peaks of one replay, up to its failure if there is one. `tick` is that of the most allocated
    bytes."""

    requested_peak_bytes: int
    allocated_peak_bytes: int
    reserved_peak_bytes: int
    tick: int
    end_allocated_bytes: int
    failure: Failure | None = None


def replay(timeline: Timeline, allocator: Allocator) -> Usage:
    """Allocate and free what the timeline says, tick by tick."""
    events: list[tuple[int, int, bool]] = []
    for index, block in enumerate(timeline.blocks):
        events.append((block.born, index, True))
        if block.died is not None:
            events.append((block.died, index, False))
    events.sort()
    handles: dict[int, int] = {}
    requested = allocated = reserved = tick = 0
    failure = None
    for at, index, is_birth in events:
        if not is_birth:
            allocator.free(handles.pop(index))
            continue
        block = timeline.blocks[index]
        try:
            handles[index] = allocator.allocate(block.size_bytes)
        except AllocationFailedError as error:
            failure = Failure(error.size_bytes, error.reserved_bytes, block.op, block.module,
                              block.phase)  # fmt: skip
            break
        requested = max(requested, allocator.requested_bytes)
        reserved = max(reserved, allocator.reserved_bytes)
        if allocator.allocated_bytes > allocated:
            allocated, tick = allocator.allocated_bytes, at
    return Usage(requested, allocated, reserved, tick, allocator.allocated_bytes, failure)


class DifferentShapeError(Exception):
    """Two timelines do not consist of the same blocks in the same order."""


@dataclass(frozen=True, slots=True)
class Family:
    """Timelines that differ in the batch size alone.

    Every size is an affine function of the batch size, and the order of births and deaths is the
    same, so that two traced members give all others.
    """

    member: Timeline
    batch_size: int
    per_sequence: tuple[int, ...]  # bytes that each block grows by with one more sequence

    def at(self, batch_size: int) -> Timeline:
        """The timeline of another batch size."""
        more = batch_size - self.batch_size
        blocks = tuple(
            replace(block, size_bytes=block.size_bytes + more * slope) if slope else block
            for block, slope in zip(self.member.blocks, self.per_sequence, strict=True)
        )
        return replace(self.member, blocks=blocks)


def family(small: Timeline, large: Timeline, batch_sizes: tuple[int, int]) -> Family:
    """The family of two timelines; DifferentShapeError if they are not alike."""
    if [_shape(b) for b in small.blocks] != [_shape(b) for b in large.blocks]:
        raise DifferentShapeError
    step = batch_sizes[1] - batch_sizes[0]
    slopes = _slopes(small.blocks, large.blocks, step)
    return Family(small, batch_sizes[0], slopes)


def _slopes(small: Sequence[Block], large: Sequence[Block], step: int) -> tuple[int, ...]:
    slopes = []
    for one, other in zip(small, large, strict=True):
        slope, rest = divmod(other.size_bytes - one.size_bytes, step)
        if rest:
            raise DifferentShapeError
        slopes.append(slope)
    return tuple(slopes)


def _shape(block: Block) -> tuple[int, int | None, str]:
    return block.born, block.died, block.op
