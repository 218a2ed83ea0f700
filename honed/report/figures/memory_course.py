"""Resident memory over the time of a call: a line for each setting whose pass recorded it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.plain import from_plain
from honed.record import Record
from honed.report.evidence import Evidence
from honed.report.figures._along import MOST_LINES, paint
from honed.report.figures.base import Picture, titled
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.run.passes.resident import Part
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

ORDER = 64
_RECORDED = "resident"  # the name of the pass
_MIB = 2**20
_LEAST_MIB = 1.0  # less is drawn as this much: an axis of very different sizes is logarithmic


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """One for each question, batch size and length."""
    for subject, measured in evidence.subjects():
        recorded = [r for r in measured if _RECORDED in (r.passes or {}) and r.memory is not None]
        differing = evidence.varying(recorded, ("batch_size", "sequence_length"))
        for label, records in evidence.groups(recorded, ("batch_size", "sequence_length")):
            keys = evidence.varying(records, without=(*SUBJECT, "batch_size", "sequence_length"))
            groups = evidence.groups(records, keys)[:MOST_LINES]
            newest = [(name, same[-1]) for name, same in groups]
            where = label if differing else ""
            yield Picture(
                titled("Memory over a call", ", ".join(filter(None, [subject, where]))),
                _sentence(newest),
                (_panel(evidence, newest),),
                tuple(record for _, record in newest),
                ("Anonymous and file-backed resident memory beyond what the process had before "
                 "the model was loaded, during a call that is not timed. The dot is the largest "
                 "reading.",),
            )  # fmt: skip


def _grown(record: Record) -> list[tuple[float, float]]:
    """Milliseconds since the call began, and MiB more than before the model was loaded."""
    part = from_plain(Part, (record.passes or {})[_RECORDED])
    base = (record.memory.baseline_bytes if record.memory else 0) or 0
    return [
        (1000 * at, max(_LEAST_MIB, (anon + file - base) / _MIB))
        for at, anon, file in zip(part.times_s, part.anon_bytes, part.file_bytes, strict=True)
    ]


def _panel(evidence: Evidence, settings: Sequence[tuple[str, Record]]) -> Cloud:
    styles = paint(evidence, [record for _, record in settings], apart=True)
    groups, trails = [], []
    for (label, record), style in zip(settings, styles, strict=True):
        points = _grown(record)
        at, most = max(points, key=lambda point: point[1])
        text = f"{label}: {plain(most)} MiB at {plain(at)} ms"
        groups.append(Group(label, style, (Dot(at, most, text),)))
        trails.append(Trail(label, style, tuple(points), steps=False))
    name, x_title = "Resident memory added, MiB", "time since the call began, ms"
    return Cloud(name, x_title, tuple(groups), tuple(trails), whole_x=True, trails_in_view=True)


def _sentence(settings: Sequence[tuple[str, Record]]) -> str:
    peaks = {label: max(most for _, most in _grown(record)) for label, record in settings}
    least = min(peaks, key=lambda label: peaks[label])
    if len(peaks) == 1:
        return f"A call adds up to {plain(peaks[least])} MiB to the process."
    most = max(peaks, key=lambda label: peaks[label])
    return (
        f"{least} adds the least to the process, up to {plain(peaks[least])} MiB; {most} adds "
        f"{plain(peaks[most])} MiB."
    )
