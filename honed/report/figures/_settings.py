"""Settings side by side, at one shape of the work: the common ground of the figures with rows."""

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
class Setting:
    """One row: what tells it apart here, and its records."""

    label: str
    style: Style
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """The settings of one subject at one batch size and length, the fastest first."""

    where: str
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(r for s in self.settings for r in s.records)


def shapes(evidence: Evidence, least: int = 2, most_rows: int = MOST_ROWS) -> Iterator[Shape]:
    """Of each subject the shapes with the most settings; of several the smallest and the largest.

    `least`: how many settings there must be. The other shapes are in the lines and in the table.
    """
    keys = (*SHAPE, "total_batch")
    for subject, records in evidence.subjects():
        told = evidence.varying(records, keys)
        found = [
            (label, groups)
            for label, rows in evidence.groups(sorted(records, key=_size), keys)
            if len(groups := evidence.groups(rows, evidence.varying(rows, without=SUBJECT)))
            >= least
        ]
        count = max((len(groups) for _, groups in found), default=0)
        fullest = [shape for shape in found if len(shape[1]) == count]
        kept = fullest if len(fullest) < 3 else [fullest[0], fullest[-1]]
        left = len(found) - len(kept)
        note = f"{left} more shape{'s' * (left > 1)}: in the lines and in the table."
        for _, groups in kept:
            where = [subject, evidence.label(groups[0][1][0], told)] if told else [subject]
            rows, cut = _fastest(groups, most_rows)
            styles = paint(evidence, [records[0] for _, records in rows], apart=False)
            notes = [note] if left else []
            if cut:
                notes.append(f"The {most_rows} fastest; {cut} slower settings are in the table.")
            yield Shape(
                ", ".join(filter(None, where)),
                tuple(Setting(name, style, tuple(own))
                      for (name, own), style in zip(rows, styles, strict=True)),
                tuple(notes),
            )  # fmt: skip


def _fastest(
    groups: Sequence[tuple[str, list[Record]]], most: int
) -> tuple[Sequence[tuple[str, list[Record]]], int]:
    """Sorted by latency, and how many are beyond what a picture has room for."""

    def key(group: tuple[str, list[Record]]) -> float:
        point = pool(group[1], latency)
        return point.value if point else float("inf")

    ordered = sorted(groups, key=key)
    return ordered[:most], max(0, len(ordered) - most)


def _size(record: Record) -> tuple[int, int]:
    batch = record.case.get("total_batch") or record.case.get("batch_size") or 0
    return int(batch), int(record.case.get("sequence_length") or 0)
