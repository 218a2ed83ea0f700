"""The measured memory timeline of a record: peaks by kind, largest allocations, residuals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.plain import from_plain
from honed.plan.of_case import Expected
from honed.record import Record
from honed.run.passes.memory_timeline import Part
from honed.show.numbers import NONE, mib
from honed.timeline import MemoryKind


def memory_of(record: Record) -> Part | None:
    data = (record.passes or {}).get("memory_timeline")
    return None if data is None else from_plain(Part, data)


def planned_line(part: Part, expected: Expected | None) -> str:
    """The planned peak beside the measured one."""
    if expected is None:
        return "a plan does not know this step"
    off = expected.peak_bytes / part.peak.size_bytes - 1
    return (
        f"planned {mib(expected.peak_bytes)} MiB, measured "
        f"{mib(part.peak.size_bytes)} MiB: {off:+.2%}"
    )


def memory_view(record: Record) -> RenderableType | None:
    """None for a record without a timeline."""
    part = memory_of(record)
    if part is None:
        return None
    peak = part.peak
    sections: list[RenderableType] = [
        Text(record.to_case().label(), "bold"),
        Text(
            f"peak {mib(peak.size_bytes)} MiB of tensors in {peak.phase}, when {peak.op} of "
            f"{peak.module or 'the step'} ran"
        ),
        *_titled("peak of each phase, MiB", _peaks(part)),
        *_titled("largest allocations alive at the peak", _largest(part)),
    ]
    if part.stream_bytes is not None:
        shape = " x ".join(map(str, part.stream_shape))
        sections += [Text(), Text(
            f"one tensor of the residual stream, {shape} {part.stream_dtype}: "
            f"{part.stream_bytes / 2**20:,.2f} MiB"
        )]  # fmt: skip
    if part.kept_bytes:
        sections += _titled("kept for the backward pass, MiB", _kept(part))
    if part.residuals:
        sections += _titled("tensors that autograd saves, as the step is set", _residuals(part))
    if part.snapshot is not None:
        sections += [Text(), Text(
            f"the history of the GPU's allocator: {part.snapshot} (honed plan --snapshot FILE "
            "replays it, and https://docs.pytorch.org/memory_viz draws it)"
        )]  # fmt: skip
    return Group(*sections)


def _titled(title: str, table: Table) -> list[RenderableType]:
    return [Text(), Text(title, "bold"), table]


def _table(headings: Sequence[str], left: int, rows: Iterable[Sequence[str]]) -> Table:
    """The first `left` columns are text, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        is_text = index < left
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text,
                         overflow="fold")  # fmt: skip
    for row in rows:
        table.add_row(*row)
    return table


def _peaks(part: Part) -> Table:
    kinds = [str(k) for k in MemoryKind if any(p.by_kind.get(k) for p in part.peaks.values())]
    rows = (
        (name, *(mib(of.by_kind.get(kind, 0)) for kind in kinds), mib(of.size_bytes))
        for name, of in part.peaks.items()
    )
    return _table(("phase", *kinds, "together"), 1, rows)


def _largest(part: Part) -> Table:
    rows = (
        (each.op or NONE, each.module or NONE, str(each.phase), str(each.kind),
         str(each.count), mib(each.size_bytes), mib(each.size_bytes * each.count))
        for each in part.largest
    )  # fmt: skip
    headings = ("op", "module", "phase", "kind", "count", "MiB each", "together")
    return _table(headings, 4, rows)


def _kept(part: Part) -> Table:
    rows = (
        (how, mib(size), mib(part.block_kept_bytes.get(how)))
        for how, size in part.kept_bytes.items()
    )
    return _table(("checkpointing", "all", "one block"), 1, rows)


def _residuals(part: Part) -> Table:
    rows = (
        (each.module or NONE, " x ".join(map(str, each.shape)), each.dtype, str(each.count),
         mib(each.size_bytes), mib(each.size_bytes * each.count))
        for each in part.residuals
    )  # fmt: skip
    headings = ("module", "shape", "type", "count", "MiB each", "together")
    return _table(headings, 3, rows)
