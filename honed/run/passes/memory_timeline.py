"""Memory timeline: which tensors are alive when in one call, where the peak lies and who made it.

It runs after everything that is timed, because it watches every operator.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from honed import artifacts
from honed.backends.base import MeasuredMemory, Residual
from honed.errors import StoreError
from honed.phase import Phase
from honed.plain import from_plain, to_plain
from honed.profile import like
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged
from honed.timeline import Block, MemoryKind, Peak, StepPhase, Timeline

NEEDS = (INPUTS,)
BARRIERS = ()
_KIND, _FILE, _SNAPSHOT = "timelines", "timeline.json", "snapshot.pickle"
_LARGEST = 12
_RESIDUALS = 24


@dataclass(frozen=True, slots=True)
class Allocation:
    """Blocks of equal size and origin that are alive at the peak."""

    op: str
    module: str
    phase: StepPhase
    kind: MemoryKind
    size_bytes: int  # of one
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """`peak` is of the whole call, `peaks` of each phase. `largest` are the largest allocations
    that are alive at the peak. The other fields are those of MeasuredMemory. `timeline` is a file
    with every block, and `snapshot` one with the history of a GPU's allocator."""

    peak: Peak
    peaks: Mapping[str, Peak]
    largest: tuple[Allocation, ...]
    stream_bytes: int | None
    stream_shape: tuple[int, ...]
    stream_dtype: str
    residuals: tuple[Residual, ...]
    kept_bytes: Mapping[str, int]
    block_kept_bytes: Mapping[str, int]
    timeline: Path
    snapshot: Path | None = None


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and where the engine cannot tell."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.MEASURING_MEMORY)
    measured = loaded.step.memory_timeline(loaded.feeds[0])
    if measured is None:
        return None
    timeline = measured.timeline
    peak = timeline.peak()
    assert peak is not None, "a call allocates something"
    peaks = {str(phase): of for phase in StepPhase if (of := timeline.peak(phase)) is not None}
    folder = _written(measured)
    return Part(
        peak,
        peaks,
        largest=largest_of(timeline.at(peak.tick)),
        stream_bytes=measured.stream_bytes,
        stream_shape=measured.stream_shape,
        stream_dtype=measured.stream_dtype,
        residuals=measured.residuals[:_RESIDUALS],
        kept_bytes=measured.kept_bytes,
        block_kept_bytes=measured.block_kept_bytes,
        timeline=folder / _FILE,
        snapshot=folder / _SNAPSHOT if measured.snapshot else None,
    )


def largest_of(blocks: list[Block]) -> tuple[Allocation, ...]:
    """The largest of the blocks; equal ones of equal layers are counted together."""
    groups: dict[tuple[str, str, StepPhase, MemoryKind, int], int] = defaultdict(int)
    for block in blocks:
        origin = (block.op, like(block.module), block.phase, block.kind)
        groups[(*origin, block.size_bytes)] += 1
    allocations = [Allocation(*key, count) for key, count in groups.items()]
    allocations.sort(key=lambda each: -each.size_bytes * each.count)
    return tuple(allocations[:_LARGEST])


def _written(measured: MeasuredMemory) -> Path:
    """A new folder in the cache, which is pruned like every other."""
    text = json.dumps(to_plain(measured.timeline))

    def write(folder: Path) -> None:
        (folder / _FILE).write_text(text)
        if measured.snapshot:
            (folder / _SNAPSHOT).write_bytes(measured.snapshot)

    return artifacts.make(_KIND, {"timeline": uuid.uuid4().hex}, write)


def read_timeline(path: Path) -> Timeline:
    """A timeline that was written; StoreError if the cache has dropped it."""
    try:
        return from_plain(Timeline, json.loads(path.read_text()))
    except OSError as error:
        raise StoreError(
            f"the timeline {path} is not in the cache any more", "measure the setting again"
        ) from error


def merge(gathered: Gathered[Part]) -> Merged:
    part = gathered.parts[0]
    return Merged(recorded=part, by_kind=part.peak.by_kind)
