"""Memory of a step: planned and measured peaks, what is alive at them, and the whole timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from honed.errors import StoreError
from honed.record import Record
from honed.report.figures.base import Picture, titled
from honed.report.panels.timeline import Alive, peak_bytes
from honed.report.views.base import Grid, Shown, Subject
from honed.run.passes.memory_timeline import Part, read_timeline
from honed.show.memory import memory_of, shape_words
from honed.show.numbers import NONE, mib
from honed.timeline import MemoryKind

Named = tuple[str, Record, Part]
_MOST_PICTURES = 4
_LARGEST = 6
_MIB = 2**20


def show(subject: Subject) -> Shown:
    named = [
        (subject.label(r), r, part) for r in subject.records if (part := memory_of(r)) is not None
    ]
    if not named:
        return Shown()
    grids = [_peaks(subject, named), *(_largest(each) for each in named)]
    if residuals := _residuals(named):
        grids.append(residuals)
    pictures = (_picture(subject, each) for each in named[:_MOST_PICTURES])
    return Shown(
        tuple(_findings(subject, named)), tuple(grids), tuple(p for p in pictures if p is not None)
    )


def _peaks(subject: Subject, named: Sequence[Named]) -> Grid:
    """A line for each record: the plan, the measurement by tensors, and torch's allocator."""
    kinds = [str(k) for k in MemoryKind if any(p.peak.by_kind.get(k) for _, _, p in named)]
    rows = []
    for label, record, part in named:
        expected = subject.expected(record)
        allocator = record.memory.tensor_peak_bytes if record.memory else None
        rows.append((
            label, str(part.peak.phase), mib(expected.peak_bytes if expected else None),
            mib(part.peak.size_bytes), _off(subject, record, part), mib(allocator),
            *(mib(part.peak.by_kind.get(kind, 0)) for kind in kinds),
        ))  # fmt: skip
    headings = (
        "settings",
        "peak in",
        "planned",
        "measured",
        "plan is off by",
        "allocator",
        *kinds,
    )
    return Grid("Peak of one step, MiB", headings, tuple(rows), left=2)


def _off(subject: Subject, record: Record, part: Part) -> str:
    expected = subject.expected(record)
    if expected is None:
        return NONE
    return f"{expected.peak_bytes / part.peak.size_bytes - 1:+.2%}"


def _largest(named: Named) -> Grid:
    label, _, part = named
    rows = [
        (
            each.op or NONE, each.module or NONE, str(each.phase), str(each.kind),
            str(each.count), mib(each.size_bytes), mib(each.size_bytes * each.count),
        )
        for each in part.largest[:_LARGEST]
    ]  # fmt: skip
    headings = ("operator", "module", "phase", "kind", "count", "MiB each", "together")
    return Grid(f"{label}: the largest allocations at the peak", headings, tuple(rows), left=4)


def _residuals(named: Sequence[Named]) -> Grid | None:
    """What autograd saves, of the first step with a backward pass."""
    found = next(((label, part) for label, _, part in named if part.residuals), None)
    if found is None:
        return None
    label, part = found
    rows = [
        (
            each.module or NONE, shape_words(each.shape), each.dtype, str(each.count),
            mib(each.size_bytes), mib(each.size_bytes * each.count),
        )
        for each in part.residuals
    ]  # fmt: skip
    headings = ("module", "shape", "type", "count", "MiB each", "together")
    title = f"{label}: tensors that autograd saves without checkpointing"
    return Grid(title, headings, tuple(rows), left=3)


def _picture(subject: Subject, named: Named) -> Picture | None:
    """The measured timeline, and below it the planned one; None if the cache has dropped it."""
    label, record, part = named
    with suppress(StoreError):
        measured, expected = read_timeline(part.timeline), subject.expected(record)
        both = [measured, *([expected.timeline] if expected else [])]
        highest = max(map(peak_bytes, both))
        titles = ("Measured, MiB", "Planned, MiB")
        panels = tuple(Alive(title, of, highest) for title, of in zip(titles, both, strict=False))
        return Picture(
            titled("Memory over a step", label), _of_peak(label, part), panels, (record,),
            marked=False,
        )  # fmt: skip
    return None


def _findings(subject: Subject, named: Sequence[Named]) -> Iterator[str]:
    for label, record, part in named:
        expected = subject.expected(record)
        said = ""
        if expected is not None:
            off = _off(subject, record, part)
            said = f" The plan said {mib(expected.peak_bytes)} MiB ({off})."
        yield _of_peak(label, part) + said
    for label, _, part in named:
        if part.stream_bytes is not None:
            shape = shape_words(part.stream_shape)
            yield (
                f"{label}: one tensor of the residual stream, {shape} {part.stream_dtype}, has "
                f"{part.stream_bytes / _MIB:,.2f} MiB."
            )


def _of_peak(label: str, part: Part) -> str:
    peak = part.peak
    return (
        f"{label}: the peak is {mib(peak.size_bytes)} MiB of tensors in {peak.phase}, when "
        f"{peak.op} of {peak.module or 'the step'} ran."
    )
