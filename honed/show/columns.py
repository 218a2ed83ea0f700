"""The columns of a table of records: what a cell shows, and which value is the best."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from honed.case import CORE_KEYS
from honed.measures import MEASURES, UNITS, Measure
from honed.record import Interval, Record
from honed.show.numbers import NONE, like, measured, mib, overlap, plain
from honed.show.say import cosine, word

ALWAYS = ("model", "backend", "precision")
Ends = tuple[float, float]
_NUMBER = re.compile(r"[^\d]*(-?\d[\d,]*\.?\d*(?:e-?\d+)?)")


@dataclass(frozen=True, slots=True)
class Cell:
    """`best`: the value is better than every other in its column, beyond doubt. `number`: what
    a column of numbers sorts by."""

    text: str
    best: bool = False
    number: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: how soon a narrow terminal drops it, the highest first, 0 never.

    `ends` is the value's interval where a column can have a best value; `high`: more is better.
    """

    name: str
    header: str
    rank: int
    read: Callable[[Record], str]
    ends: Callable[[Record], Ends | None] | None = None
    high: bool = False
    left: bool = False

    @property
    def heading(self) -> str:
        """The header in one line; it breaks after `_`, `.` and hyphens, and between words."""
        text = self.header.replace("_\n", "_").replace(".\n", ".").replace("-\n", "")
        return text.replace("\n", " ")

    def cells(self, records: Sequence[Record]) -> list[Cell]:
        best = self._best(records)
        return [self.cell(record, record is best) for record in records]

    def cell(self, record: Record, best: bool = False) -> Cell:
        text = self.read(record)
        match = None if self.left else _NUMBER.match(text)
        return Cell(text, best, match[1].replace(",", "") if match else "")

    def _best(self, records: Sequence[Record]) -> Record | None:
        """The ok record whose interval is better than all others and touches none."""
        if self.ends is None:
            return None
        known = [(ends, r) for r in records if r.ok and (ends := self.ends(r)) is not None]
        known.sort(key=lambda pair: sum(pair[0]), reverse=self.high)
        if len(known) < 2 or any(overlap(known[0][0], ends) for ends, _ in known[1:]):
            return None
        return known[0][1]


def key_columns(records: Sequence[Record]) -> list[Column]:
    """Model, backend, precision, and the keys of the Cases that differ between the records."""
    return [_key_column(key, records) for key in (*ALWAYS, *varying(records))]


def varying(records: Sequence[Record]) -> list[str]:
    """Keys that differ between the records, except those of ALWAYS."""
    knobs = sorted({key for r in records for key in r.case} - set(CORE_KEYS))
    return [k for k in (*CORE_KEYS, *knobs) if k not in ALWAYS and varies(k, records)]


def varies(key: str, records: Sequence[Record]) -> bool:
    return len({word(r.case.get(key)) for r in records}) > 1


def settings_column(records: Sequence[Record]) -> Column:
    """One column with all settings that differ between the records, as one types them."""
    heads = [k for k in ALWAYS if varies(k, records)]
    keys = varying(records)

    def read(record: Record) -> str:
        values = [_value(record, k) for k in heads]
        set_keys = [key for key in keys if record.case.get(key) is not None]
        values += [f"{key}={word(record.case[key])}" for key in set_keys]
        return " ".join(values) or "defaults"

    return Column("settings", "settings", 0, read, left=True)


def measure_columns(records: Sequence[Record]) -> tuple[Column, ...]:
    """A column for each measure with a header, except those that only some records need."""
    return tuple(
        COLUMNS[name]
        for name, measure in MEASURES.items()
        if name in COLUMNS
        and (not measure.shown_with or _any_has(MEASURES[measure.shown_with], records))
    )


def _any_has(measure: Measure, records: Sequence[Record]) -> bool:
    return any((interval := measure.interval(r)) and interval.value != 0 for r in records)


def _key_column(key: str, records: Sequence[Record]) -> Column:
    """The header may break after `_` and `.`, because keys are longer than their values."""
    numbers = all(isinstance(r.case.get(key), int | float | None) for r in records)
    header = key.replace("_", "_\n").replace(".", ".\n")
    # A setting that every record shares is the first to move into the table's heading.
    rank = 3 if varies(key, records) else 90
    return Column(key, header, rank, lambda r: _value(r, key), left=not numbers)


def _value(record: Record, key: str) -> str:
    """The value as one types it; a model without its folder or organisation."""
    text = word(record.case.get(key))
    return text.rstrip("/").rpartition("/")[2] if key == "model" else text


def _measure_column(measure: Measure) -> Column:
    def read(record: Record) -> str:
        interval = measure.interval(record)
        if interval is None or interval.value is None:
            return NONE
        if measure.name in _OWN_TEXTS:
            return _OWN_TEXTS[measure.name](record)
        return _text(measure, record, interval, interval.value)

    def ends(record: Record) -> Ends | None:
        interval = measure.interval(record)
        return interval.ci95 if interval else None

    has_interval = measure.unit in ("s", "sequences/s")
    return Column(
        measure.name, measure.header, measure.rank, read,
        ends=ends if has_interval else None, high=measure.better == "more",
    )  # fmt: skip


def _text(measure: Measure, record: Record, interval: Interval, value: float) -> str:
    factor = UNITS[measure.unit].factor
    if measure.at_least:  # a percentile has as many decimals as the median of the same row
        median = MEASURES["latency"].interval(record)
        assert median is not None
        assert median.value is not None
        return like(value, median.value, median.ci95, factor)
    match measure.unit:
        case "bytes":
            return mib(value)
        case "share":
            return f"{value:.0%}"
        case _:
            return measured(value, interval.ci95, factor)


def _accuracy(record: Record) -> str:
    accuracy = record.accuracy
    if accuracy is None or accuracy.value is None or accuracy.drop is None:
        return plain(None)
    return f"{accuracy.value:.3f} ({-accuracy.drop:+.1%})"


# Measures whose cells their unit alone does not decide.
_OWN_TEXTS: Mapping[str, Callable[[Record], str]] = {
    "cosine_min": lambda r: cosine(MEASURES["cosine_min"].value(r)),
    "accuracy": _accuracy,
    "max_batch": lambda r: f"{MEASURES['max_batch'].value(r) or 0:,.0f}",
}
COLUMNS: Mapping[str, Column] = {
    name: _measure_column(measure) for name, measure in MEASURES.items() if measure.header
}
