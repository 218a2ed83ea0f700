"""The rows of a table of records, for every renderer that shows records side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honed.measures import MEASURES
from honed.models.knobs import shape
from honed.record import Record
from honed.show.columns import Cell, Column, key_columns, measure_columns, varies
from honed.show.numbers import NONE
from honed.show.say import machine_name, word

# Records that differ in one of these answer different questions: no ranking compares them.
SUBJECT = ("machine", "model", "task", "pooling", "inputs", "device", "workload")
SHAPE = (
    "batch_size", "sequence_length", *(knob.name for knob in shape.KNOBS),
    "until", "optimizer", "d_model", "num_heads", "causal",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extra:
    """What a verb adds to a table: columns beside the measures, and sentences."""

    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """`cells`: one for each column of the table, in their order."""

    record: Record
    cells: tuple[Cell, ...]

    @property
    def doubts(self) -> str:
        return ", ".join(dict.fromkeys(d.kind.replace("_", " ") for d in self.record.doubts))


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns, and the rows grouped by question, the fastest of each group first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def rows(
    records: Sequence[Record], names: Sequence[str] = (), extra: Sequence[Column] = ()
) -> Rows:
    """`names`: the measures to show; empty: all. A measure that no record has is left out, and
    so is the model if all records share it."""
    keys = [c for c in key_columns(records) if c.name != "model" or varies("model", records)]
    chosen = [c for c in measure_columns(records) if not names or c.name in names]
    known = [c for c in (*chosen, *extra) if any(c.read(r) != NONE for r in records)]
    columns = (*keys, *known)
    groups = [sorted(group, key=_latency) for group in _by_question(records)]
    return Rows(columns, tuple(row for group in groups for row in _rows(columns, group)))


def _by_question(records: Sequence[Record]) -> list[list[Record]]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        case = {**record.case, "machine": machine_name(record)}
        if case.get("total_batch"):
            case["batch_size"] = None  # follows from the total and the instances
        question = tuple(word(case.get(key)) for key in (*SUBJECT, *SHAPE, "total_batch"))
        groups.setdefault(question, []).append(record)
    return list(groups.values())


def _latency(record: Record) -> tuple[bool, float]:
    value = MEASURES["latency"].value(record)
    return value is None, value or 0.0


def _rows(columns: Sequence[Column], records: Sequence[Record]) -> list[Row]:
    by_column = [_cells(column, records) for column in columns]
    return [Row(r, tuple(cells)) for r, *cells in zip(records, *by_column, strict=True)]


def _cells(column: Column, records: Sequence[Record]) -> list[Cell]:
    """A value is marked as the best only where every ok record's value has an interval."""
    if column.ends is None or all(column.ends(r) for r in records if r.ok):
        return column.cells(records)
    return [column.cell(r) for r in records]
