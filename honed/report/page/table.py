"""All records as the rows of one table that sorts: settings beside measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from honed.record import Record
from honed.report.evidence import SHAPE, SUBJECT, Evidence, latency
from honed.show.columns import Column, accuracy, key_columns, measures
from honed.show.numbers import NONE

_NUMBER = re.compile(r"[^\d]*(-?\d[\d,]*\.?\d*(?:e-?\d+)?)")


@dataclass(frozen=True, slots=True)
class Cell:
    """`number` is what the column sorts by, if it is one of numbers."""

    column: Column
    text: str
    number: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    record: Record
    doubts: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def table(evidence: Evidence, extra: Sequence[Column] = ()) -> Table:
    """A single model is in the page's title; a measure that no record has is left out."""
    several = len(evidence.model_names) > 1
    keys = [c for c in key_columns(evidence.records) if several or c.name != "model"]
    known = [
        c for c in (*measures(evidence.records), *accuracy(evidence.records), *extra)
        if any(c.read(r) != NONE for r in evidence.records)
    ]  # fmt: skip
    columns = (*keys, *known)
    return Table(
        columns, tuple(row for group in ordered(evidence) for row in _rows(columns, group))
    )


def ordered(evidence: Evidence) -> list[list[Record]]:
    """Groups that answer the same question at the same shape; in each the fastest first."""
    groups = evidence.groups(evidence.records, (*SUBJECT, *SHAPE, "total_batch"))

    def key(record: Record) -> tuple[bool, float]:
        found = latency(record)
        return found is None, found[0] if found else 0.0

    return [sorted(records, key=key) for _, records in groups]


def _rows(columns: Sequence[Column], records: Sequence[Record]) -> list[Row]:
    by_column = [_cells(column, records) for column in columns]
    return [
        Row(
            record,
            ", ".join(dict.fromkeys(d.kind.replace("_", " ") for d in record.doubts)),
            tuple(map(_cell, columns, cells)),
        )
        for record, *cells in zip(records, *by_column, strict=True)
    ]


def _cells(column: Column, records: Sequence[Record]) -> list[Text]:
    """The best stands out only where every ok record's value has an interval to compare with."""
    if column.ends is None or all(column.ends(r) for r in records if r.ok):
        return column.cells(records)
    return [Text(column.read(r)) for r in records]


def _cell(column: Column, text: Text) -> Cell:
    number = None if column.left else _NUMBER.match(text.plain)
    return Cell(column, text.plain, number[1].replace(",", "") if number else "", bool(text.style))
