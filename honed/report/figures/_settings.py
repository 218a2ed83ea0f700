"""Settings side by side at one shape of the work: the basis of the figures with rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honed.record import Record
from honed.report.evidence import Evidence, latency, pool
from honed.report.figures._along import paint
from honed.report.style import Style
from honed.show.rows import SHAPE, SUBJECT

MOST_ROWS = 16


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting: a label of what distinguishes it in this picture, and its records."""

    label: str
    style: Style
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """The settings of one subject at one batch size and length, the fastest first."""

    where: str
    rows: tuple[SettingRow, ...]
    notes: tuple[str, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(r for row in self.rows for r in row.records)


def shapes(evidence: Evidence, least: int = 2, most_rows: int = MOST_ROWS) -> Iterator[Shape]:
    """The shapes of each subject with the most settings; of more than two the smallest and the
    largest. Other shapes are in the lines and in the table.

    `least`: how many settings there must be.
    """
    keys = (*SHAPE, "total_batch")
    for subject, records in evidence.subjects():
        differing = evidence.varying(records, keys)
        candidates = []
        for _, same in evidence.groups(sorted(records, key=_size), keys):
            groups = evidence.groups(same, evidence.varying(same, without=SUBJECT))
            if len(groups) >= least:
                candidates.append(groups)
        most = max(map(len, candidates), default=0)
        fullest = [groups for groups in candidates if len(groups) == most]
        kept = fullest if len(fullest) < 3 else [fullest[0], fullest[-1]]
        left = len(candidates) - len(kept)
        for groups in kept:
            first = groups[0][1][0]
            where = [subject, evidence.label(first, differing) if differing else ""]
            notes = [f"{left} more shape{'s' * (left > 1)}: in the lines and in the table."]
            if cut := max(0, len(groups) - most_rows):
                notes.append(f"The {most_rows} fastest; {cut} slower settings are in the table.")
            yield Shape(
                ", ".join(filter(None, where)),
                _rows(evidence, groups, most_rows),
                tuple(notes if left else notes[1:]),
            )


def _rows(
    evidence: Evidence, groups: Sequence[tuple[str, list[Record]]], most: int
) -> tuple[SettingRow, ...]:
    """The fastest settings, as many as a picture has room for."""

    def speed(group: tuple[str, list[Record]]) -> float:
        point = pool(group[1], latency)
        return point.value if point else float("inf")

    fastest = sorted(groups, key=speed)[:most]
    styles = paint(evidence, [records[0] for _, records in fastest], apart=False)
    return tuple(
        SettingRow(label, style, tuple(records))
        for (label, records), style in zip(fastest, styles, strict=True)
    )


def _size(record: Record) -> tuple[int, int]:
    batch = record.case.get("total_batch") or record.case.get("batch_size") or 0
    return int(batch), int(record.case.get("sequence_length") or 0)
