"""A grid: what each batch size and length takes of a device, and the largest batch that fits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from honed.plain import to_plain
from honed.plan.device import Device
from honed.plan.max_batch import Cells, largest_batch
from honed.plan.predict import Planner
from honed.plan.prediction import MaxBatch
from honed.plan.settings import Settings

LENGTHS = (32, 64, 128, 256, 512)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Row:
    """One length. `reserved_bytes` holds the peak of each batch size of the grid, also of those
    that do not fit."""

    sequence_length: int
    reserved_bytes: tuple[int, ...]
    max_batch: MaxBatch


@dataclass(frozen=True, slots=True)
class Grid:
    """Everything that one mode can run in `usable_bytes` of the device."""

    settings: Settings
    model: str
    task: str
    usable_bytes: int
    batch_sizes: tuple[int, ...]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain


def grid(planner: Planner, settings: Settings, lengths: tuple[int, ...]) -> Grid:
    """The grid over `lengths`; UntraceableError if the model cannot be traced."""
    usable = planner.device.usable_bytes
    assert usable is not None, "a grid needs a device with a size"
    rows: list[Row] = []
    like = None
    for length in lengths:
        asked = dataclasses.replace(settings, sequence_length=length)
        cells = planner.cells(asked, like=like)
        rows.append(_row(cells, length, planner.device))
        like = cells.family
    subject = planner.subject
    return Grid(settings, subject.name, subject.task, usable, BATCH_SIZES, tuple(rows))


def _row(cells: Cells, length: int, device: Device) -> Row:
    usages = [cells.replay(n, device.allocator(limited=False)) for n in BATCH_SIZES]
    peaks = tuple(usage.reserved_peak_bytes for usage in usages)
    return Row(length, peaks, largest_batch(cells, device))
