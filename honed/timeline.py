"""Timeline: which memory is alive when, and which operator and module it belongs to.

`honed plan` predicts a timeline before anything runs, and `honed memory` measures one. Both write
the types of this file, so that a prediction and a measurement can be compared and drawn alike.
The order of births and deaths is what counts: a tick is one of them, and no tick has a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate


class MemoryKind(StrEnum):
    """What memory is used for. The values are the keys of `by_kind` in JSON.

    Weights include buffers. Activations are a model's inputs, what one module hands to another,
    and what the backward pass still needs. Temporaries die inside the module or the phase that
    made them. The workspace is what libraries take beside tensors.
    """

    WEIGHTS = "weights"
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer"
    ACTIVATIONS = "activations"
    TEMPORARIES = "temporaries"
    WORKSPACE = "workspace"


class StepPhase(StrEnum):
    """The phases of a step. SETUP is before the first call: weights and inputs."""

    SETUP = "setup"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of memory: a tensor's storage, or a workspace.

    `size_bytes` is what was asked for, before an allocator rounds it up. `born` is the tick of its
    allocation and `died` that of its release; None if it is alive at the end. `op`, `module` and
    `phase` were running when it was born: "aten.mm", "encoder.layer.0.output".
    """

    size_bytes: int
    kind: MemoryKind
    born: int
    died: int | None = None
    op: str = ""
    module: str = ""
    phase: StepPhase = StepPhase.SETUP


@dataclass(frozen=True, slots=True)
class Span:
    """One run of a phase, from the tick `begin` to the one before `end`; `step` counts from 0."""

    phase: StepPhase
    begin: int
    end: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Peak:
    """The first tick at which most is alive; `op` and `module` allocated at that tick."""

    tick: int
    size_bytes: int
    by_kind: Mapping[str, int]
    op: str
    module: str
    phase: StepPhase


@dataclass(frozen=True, slots=True)
class Timeline:
    """Every block of one or more steps, in the order of birth. Ticks run from 0 to `ticks` - 1."""

    blocks: tuple[Block, ...]
    ticks: int
    spans: tuple[Span, ...] = ()

    def alive_bytes(self, kind: MemoryKind | None = None) -> list[int]:
        """The bytes that are alive after each tick, of all kinds or of one."""
        changes = [0] * (self.ticks + 1)
        for block in self.blocks:
            if kind is None or block.kind is kind:
                changes[block.born] += block.size_bytes
                changes[self.ticks if block.died is None else block.died] -= block.size_bytes
        return list(accumulate(changes[: self.ticks]))

    def at(self, tick: int) -> list[Block]:
        """The blocks that are alive after `tick`."""
        return [
            block
            for block in self.blocks
            if block.born <= tick and (block.died is None or block.died > tick)
        ]

    def between(self, begin: int, end: int) -> Timeline:
        """The ticks from `begin` to the one before `end`. What was born earlier and is still alive
        is there from the beginning."""
        blocks = (
            replace(
                block, born=max(0, block.born - begin),
                died=None if block.died is None or block.died >= end else block.died - begin,
            )
            for block in self.blocks
            if block.born < end and (block.died is None or block.died > begin)
        )  # fmt: skip
        spans = (
            replace(span, begin=max(0, span.begin - begin), end=min(span.end, end) - begin)
            for span in self.spans
            if span.end > begin and span.begin < end
        )
        return Timeline(tuple(blocks), end - begin, tuple(spans))

    def peak(self, phase: StepPhase | None = None, step: int | None = None) -> Peak | None:
        """The peak of all ticks, of one phase, or of one step; None if there is no such tick."""
        alive = self.alive_bytes()
        ticks = list(self._ticks_of(phase, step))
        if not ticks:
            return None
        highest = max(ticks, key=lambda tick: (alive[tick], -tick))
        blocks = self.at(highest)
        by_kind = dict.fromkeys((str(kind) for kind in MemoryKind), 0)
        for block in blocks:
            by_kind[block.kind] += block.size_bytes
        newest = max(blocks, key=lambda block: (block.born, block.size_bytes), default=None)
        return Peak(
            highest, alive[highest], by_kind,
            newest.op if newest else "", newest.module if newest else "",
            self.phase_at(highest),
        )  # fmt: skip

    def phase_at(self, tick: int) -> StepPhase:
        """The phase in which a tick lies."""
        inside = (span.phase for span in self.spans if span.begin <= tick < span.end)
        return next(inside, StepPhase.SETUP)

    def _ticks_of(self, phase: StepPhase | None, step: int | None) -> Iterator[int]:
        if phase is None and step is None:
            yield from range(self.ticks)
            return
        for span in self.spans:
            if phase in (None, span.phase) and step in (None, span.step):
                yield from range(span.begin, min(span.end, self.ticks))
