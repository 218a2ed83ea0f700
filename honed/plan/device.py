"""The device of a plan: its size, its allocator, and the memory that no tensor shows.

`device=cuda:16GiB`, `device=cuda` (no limit), `device=cpu`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from honed.errors import UsageError, nearest
from honed.plan.allocator import KIB, MIB, Allocator, CachingAllocator, PlainAllocator
from honed.timeline import Block, MemoryKind, StepPhase, Timeline
from honed.units import size_bytes

# The first product of a thread takes cuBLAS's workspace from the caching allocator, and keeps it.
# Sizes: getChosenWorkspaceSize in aten/src/ATen/cuda/CublasHandlePool.cpp: two of 4 MiB and eight
# of 16 KiB, or 32 MiB from compute capability 9.0 on.
_WORKSPACE_BYTES = 2 * 4 * MIB + 8 * 16 * KIB
_WORKSPACE_BYTES_FROM_9 = 32 * MIB
_PRODUCTS = ("aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm")
# What a process holds of a GPU before its first tensor: the context and the kernels that are
# loaded. It depends on the driver and the GPU; nvidia-smi shows it. This value is an assumption.
CONTEXT_BYTES = 512 * MIB
ARCHITECTURES = ("kepler", "volta", "turing", "ampere", "ada", "hopper", "blackwell")


@dataclass(frozen=True, slots=True)
class Device:
    """`capacity_bytes` None is no limit. `architecture` decides the size of workspaces."""

    kind: Literal["cpu", "cuda"] = "cuda"
    capacity_bytes: int | None = None
    architecture: str = "ampere"
    context_bytes: int = CONTEXT_BYTES
    expandable: bool = False
    has_workspaces: bool = True

    @property
    def usable_bytes(self) -> int | None:
        """What the allocator can take."""
        if self.capacity_bytes is None:
            return None
        return max(0, self.capacity_bytes - self.context_bytes)

    def allocator(self, *, limited: bool) -> Allocator:
        """A fresh allocator, with the device's limit or without one."""
        usable = self.usable_bytes if limited else None
        if self.kind == "cpu":
            return PlainAllocator(usable)
        return CachingAllocator(usable, expandable=self.expandable)

    def with_workspaces(self, timeline: Timeline) -> Timeline:
        """The timeline with what libraries take beside tensors.

        The backward pass runs on a thread of its own, which has a workspace of its own.
        """
        if self.kind == "cpu" or not self.has_workspaces:
            return timeline
        is_newer = self.architecture in ARCHITECTURES[ARCHITECTURES.index("hopper") :]
        size = _WORKSPACE_BYTES_FROM_9 if is_newer else _WORKSPACE_BYTES
        added = [
            replace(first, size_bytes=size, kind=MemoryKind.WORKSPACE, died=None, op="cublas")
            for first in _first_products(timeline)
        ]
        # Before the product whose tick they share: a replay allocates in this order.
        return replace(timeline, blocks=(*added, *timeline.blocks))


def parse_device(text: str) -> Device:
    """`cpu`, `cuda`, `cpu:8GiB` or `cuda:16GiB`; UsageError otherwise."""
    kind, _, size = text.partition(":")
    if kind not in ("cpu", "cuda"):
        raise UsageError(
            f"no device is called {kind!r}", nearest(kind, ("cpu", "cuda")) + "; cuda:16GiB"
        )
    if size.isdigit():
        raise UsageError(
            f"device={text}: after the colon stands how much memory the device has, with a unit",
            f"{kind}:16GiB, or {kind} alone",
        )
    context = CONTEXT_BYTES if kind == "cuda" else 0
    capacity = size_bytes(size) if size else None
    return Device("cuda" if kind == "cuda" else "cpu", capacity, context_bytes=context)


def _first_products(timeline: Timeline) -> Iterator[Block]:
    for phase in (StepPhase.FORWARD, StepPhase.BACKWARD):
        products = (b for b in timeline.blocks if b.phase is phase and b.op in _PRODUCTS)
        if (first := next(products, None)) is not None:
            yield first
