"""Activation checkpointing: what each way keeps for the backward pass, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.record import Record
from honed.report.views import phases
from honed.report.views.base import Grid, Shown, Subject, times
from honed.show.memory import memory_of
from honed.show.numbers import NONE, mib, plain, seconds

_STEP = "step"
_OFF = "off"


def show(subject: Subject) -> Shown:
    records = phases.phased(subject)
    if len(records) < 2:
        return Shown()
    return Shown(
        tuple(_findings(records)), (_grid(records), _kept(records)),
        (phases.picture(subject, records),),
    )  # fmt: skip


def _how(record: Record) -> str:
    return str(record.case.get("checkpointing") or _OFF)


def _peak(record: Record) -> int | None:
    part = memory_of(record)
    return None if part is None else part.peak.size_bytes


def _grid(records: Sequence[Record]) -> Grid:
    rows = []
    for record in records:
        own = phases.phases_of(record)
        after = (record.memory.after_phase_bytes if record.memory else None) or {}
        rows.append((
            _how(record), plain(own[_STEP].mean * 1e3, 4), plain(own["forward"].mean * 1e3, 4),
            plain(own["backward"].mean * 1e3, 4) if "backward" in own else NONE,
            mib(after.get("forward")), mib(_peak(record)),
        ))  # fmt: skip
    headings = ("checkpointing", "step ms", "forward ms", "backward ms", "MiB after forward",
                "peak MiB")  # fmt: skip
    return Grid("Time and memory of a step", headings, tuple(rows))


def _kept(records: Sequence[Record]) -> Grid:
    """What a forward pass keeps, as one record tried every way."""
    part = next((part for r in records if (part := memory_of(r)) is not None), None)
    kept = {} if part is None else part.kept_bytes
    of_block = {} if part is None else part.block_kept_bytes
    rows = tuple((how, mib(size), mib(of_block.get(how))) for how, size in kept.items())
    headings = ("checkpointing", "MiB of all blocks", "MiB of one block")
    return Grid("Kept for the backward pass", headings, rows)


def _findings(records: Sequence[Record]) -> Iterator[str]:
    first, *others = sorted(records, key=lambda record: _how(record) != _OFF)
    base = phases.phases_of(first)[_STEP].mean
    for record in others:
        own = phases.phases_of(record)[_STEP].mean
        peaks = _peak(record), _peak(first)
        saved = ""
        if peaks[0] is not None and peaks[1] is not None:
            saved = f", and its peak is {mib(peaks[0])} MiB in place of {mib(peaks[1])}"
        yield (
            f"checkpointing={_how(record)}: a step {times(own / base)} as without it "
            f"({seconds(own)}){saved}."
        )
