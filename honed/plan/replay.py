"""Replay: the allocations of a timeline, in their order, on an allocator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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


# What happens at a tick: the index of a block, and whether it is born or dies.
_Events = Sequence[tuple[int, int, bool]]


def replay(timeline: Timeline, allocator: Allocator) -> Usage:
    """Allocate and free what the timeline says, tick by tick."""
    sizes = [block.size_bytes for block in timeline.blocks]
    return _replay(timeline.blocks, sizes, _events(timeline), allocator)


def _events(timeline: Timeline) -> _Events:
    """Births and deaths in their order."""
    events = [(block.born, index, True) for index, block in enumerate(timeline.blocks)]
    events += [
        (block.died, index, False)
        for index, block in enumerate(timeline.blocks)
        if block.died is not None
    ]
    events.sort()
    return events


def _replay(
    blocks: Sequence[Block], sizes: Sequence[int], events: _Events, allocator: Allocator
) -> Usage:
    """The events of blocks that have these sizes instead of their own."""
    handles: dict[int, int] = {}
    requested = allocated = reserved = tick = 0
    failure = None
    for at, index, is_birth in events:
        if not is_birth:
            allocator.free(handles.pop(index))
            continue
        try:
            handles[index] = allocator.allocate(sizes[index])
        except AllocationFailedError as error:
            of = blocks[index]
            failure = Failure(error.size_bytes, error.reserved_bytes, of.op, of.module, of.phase)
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
    events: _Events = field(repr=False)

    def at(self, batch_size: int) -> Timeline:
        """The timeline of another batch size."""
        blocks = tuple(
            replace(block, size_bytes=size) if size != block.size_bytes else block
            for block, size in zip(self.member.blocks, self._sizes(batch_size), strict=True)
        )
        return replace(self.member, blocks=blocks)

    def replay(self, batch_size: int, allocator: Allocator) -> Usage:
        """What `replay` finds for the timeline of another batch size."""
        sizes = self._sizes(batch_size)
        return _replay(self.member.blocks, sizes, self.events, allocator)

    def at_length_of(self, other: Timeline) -> Family:
        """The family of a timeline of the same batch size and another length, without a second
        one: what grows in proportion to the batch size here, or not at all, does so there.
        DifferentShapeError if the two are not alike, or if sizes grow in another way."""
        _check_alike(self.member, other)
        slopes = []
        for here, slope, there in zip(
            self.member.blocks, self.per_sequence, other.blocks, strict=True
        ):
            each, rest = divmod(there.size_bytes, self.batch_size) if slope else (0, 0)
            if rest or (slope and here.size_bytes != self.batch_size * slope):
                raise DifferentShapeError
            slopes.append(each)
        return Family(other, self.batch_size, tuple(slopes), self.events)

    def _sizes(self, batch_size: int) -> list[int]:
        more = batch_size - self.batch_size
        return [
            block.size_bytes + more * slope
            for block, slope in zip(self.member.blocks, self.per_sequence, strict=True)
        ]


def family_of(small: Timeline, large: Timeline, batch_sizes: tuple[int, int]) -> Family:
    """The family of two timelines; DifferentShapeError if they are not alike."""
    _check_alike(small, large)
    slopes = _slopes(small.blocks, large.blocks, batch_sizes[1] - batch_sizes[0])
    return Family(small, batch_sizes[0], slopes, _events(small))


def _check_alike(one: Timeline, other: Timeline) -> None:
    if [_shape(b) for b in one.blocks] != [_shape(b) for b in other.blocks]:
        raise DifferentShapeError


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
