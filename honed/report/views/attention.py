"""Attention alone over lengths: time, memory, and where each kernel ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from honed.record import Record
from honed.report.evidence import Point
from honed.report.figures.base import Picture, titled
from honed.report.panels.lines import Lines, Series
from honed.report.style import Style
from honed.report.views import phases
from honed.report.views.base import Grid, Shown, Subject, times
from honed.show.numbers import NONE, mib, plain
from honed.show.say import word
from honed.step import BACKWARD, FORWARD

_KEY, _LENGTH = "attention", "sequence_length"
_DEFAULT = "naive"
_MIB = 2**20
Cells = Mapping[tuple[str, ...], Mapping[str, Record]]  # values of the keys -> kernel -> record


def show(subject: Subject) -> Shown:
    records = subject.result.records
    if not any(record.metrics for record in records):
        return Shown()
    names = list(dict.fromkeys(map(_kernel, records)))
    keys = [key for key in subject.varying if key not in (_KEY, "model")] or [_LENGTH]
    cells = _cells(records, keys)
    findings = [*_ends(names, records), *_ratios(names, keys, cells), *_doubts(records)]
    return Shown(
        tuple(findings), (_grid(names, keys, cells),), tuple(_pictures(subject, names, keys))
    )


def _kernel(record: Record) -> str:
    return str(record.case.get(_KEY) or _DEFAULT)


def _cells(records: Sequence[Record], keys: Sequence[str]) -> Cells:
    cells: dict[tuple[str, ...], dict[str, Record]] = {}
    for record in records:
        values = tuple(word(record.case.get(key)) for key in keys)
        cells.setdefault(values, {})[_kernel(record)] = record
    return cells


def _grid(names: Sequence[str], keys: Sequence[str], cells: Cells) -> Grid:
    """A line for each shape; for each kernel its times and the memory before its backward pass."""
    parts = ("forward", "backward", "MiB")
    headings = (*keys, *(f"{name} {part}" for name in names for part in parts))
    rows = [
        (*values, *(text for name in names for text in _texts(of.get(name))))
        for values, of in cells.items()
    ]
    title = "Medians in ms, and MiB before the backward pass; each cell in a process of its own"
    return Grid(title, headings, tuple(rows), left=len(keys))


def _texts(record: Record | None) -> tuple[str, ...]:
    if record is None:
        return (NONE, NONE, NONE)
    if record.metrics is None:
        return (record.status, record.status, record.status)
    own = phases.phases_of(record)
    before = _before_backward(record)
    return (
        *(plain(own[name].p50 * 1e3) if name in own else NONE for name in (FORWARD, BACKWARD)),
        NONE if before is None else plain(before),
    )


def _before_backward(record: Record) -> float | None:
    """MiB."""
    after = (record.memory.after_phase_bytes if record.memory else None) or {}
    return after[FORWARD] / _MIB if FORWARD in after else None


def _ends(names: Sequence[str], records: Sequence[Record]) -> Iterator[str]:
    """The longest length that each kernel was measured at, and why it went no further."""
    for name in names:
        own = [record for record in records if _kernel(record) == name]
        reached = max((r.case[_LENGTH] for r in own if r.metrics), default=None)
        short = [r for r in own if r.status == "oom"]
        until = "no length" if reached is None else f"up to {reached:,} tokens"
        if not short:
            yield f"{name} was measured at {until}."
            continue
        first = min(short, key=lambda r: (r.case[_LENGTH], r.case.get("d_model") or 0))
        reason = first.error.message if first.error else "no reason was recorded"
        yield f"{name} was measured at {until}; {first.case[_LENGTH]:,} tokens: {reason}."


def _ratios(names: Sequence[str], keys: Sequence[str], cells: Cells) -> Iterator[str]:
    """Every kernel beside the first, at the longest shape that both were measured at."""
    first, *others = names
    for other in others:
        both = [
            (values, of[first], of[other])
            for values, of in cells.items()
            if all(name in of and of[name].metrics for name in (first, other))
        ]
        if not both:
            continue
        values, base, own = max(both, key=lambda each: (each[1].case[_LENGTH], each[0]))
        where = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
        before, after = phases.phases_of(base), phases.phases_of(own)
        parts = [
            f"{name} {times(after[name].p50 / before[name].p50)}"
            for name in (FORWARD, BACKWARD)
            if name in before and name in after
        ]
        memory = ""
        sizes = _before_backward(own), _before_backward(base)
        if sizes[0] is not None and sizes[1]:
            memory = (
                f"; before the backward pass {mib(sizes[0] * _MIB)} MiB are alive in place of "
                f"{mib(sizes[1] * _MIB)}"
            )
        yield f"{other} beside {first} at {where}: {', '.join(parts)}{memory}."


def _doubts(records: Sequence[Record]) -> Iterator[str]:
    """Calls that were faster than their own memory traffic."""
    traffic = [r for r in records if any(d.kind == "traffic" for d in r.doubts)]
    measured = sum(record.metrics is not None for record in records)
    if traffic:
        cells = ", ".join(f"{_kernel(r)} at {r.case[_LENGTH]:,}" for r in traffic)
        yield f"Faster than their own memory traffic, so not to be believed: {cells}."
    else:
        yield (
            f"None of {measured} cells is faster than writing its scores or its output takes: no "
            "clock stopped too early."
        )


def _pictures(subject: Subject, names: Sequence[str], keys: Sequence[str]) -> Iterator[Picture]:
    """Time and memory over the length, for the other settings that have the most lengths."""
    others = [key for key in keys if key != _LENGTH]
    groups = subject.evidence.groups(subject.records, others)
    label, chosen = max(groups, key=lambda pair: len({r.case[_LENGTH] for r in pair[1]}))
    if len({r.case[_LENGTH] for r in chosen}) < 2:
        return
    panels = []
    for title, unit, read in (
        ("Forward and backward, ms", "ms", _step_ms), ("Before the backward pass, MiB", "MiB",
                                                        _before_backward),
    ):  # fmt: skip
        series = []
        for hue, name in enumerate(names):
            points = [
                Point(float(r.case[_LENGTH]), value, None, r.status, (r,))
                for r in sorted(chosen, key=lambda r: int(r.case[_LENGTH]))
                if _kernel(r) == name and (value := read(r)) is not None
            ]
            if points:
                series.append(Series(name, Style(hue, hue), tuple(points)))
        if series:
            panels.append(Lines(title, "tokens", tuple(series), unit))
    yield Picture(
        titled("Over the length", label if others else ""),
        "Medians of calls; a line ends where the next length does not fit.", tuple(panels),
        tuple(chosen),
    )  # fmt: skip


def _step_ms(record: Record) -> float | None:
    own = phases.phases_of(record)
    return own["step"].p50 * 1e3 if "step" in own else None
