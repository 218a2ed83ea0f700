"""Latency and throughput along one key of the Case: the common ground of several figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from honed.record import Record
from honed.report.evidence import Evidence, Point, Reading, latency, pool, throughput
from honed.report.figures.base import Picture, titled
from honed.report.findings import fastest, listed, reference, times, winners
from honed.report.panels.lines import Lines, Series
from honed.report.style import Style
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

MOST_LINES = 12  # more cannot be followed, whatever their hues and marks
_SPLIT_LAST = ("precision", "backend")
_READINGS: Sequence[tuple[str, str, float, Reading]] = (
    ("Latency, ms", "ms", 1e3, latency),
    ("Throughput, sequences/s", "/s", 1.0, throughput),
)


@dataclass(frozen=True, slots=True)
class Along:
    """`key` is the axis; `name` as in "at every batch size", `at` as in "at batch size {}".

    `tied` keys follow from the axis and are not told apart; `apart` are, in their place.
    """

    key: str
    title: str
    name: str
    at: str
    x_title: str
    tied: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def spoken(self, x: str) -> str:
        words = self.at.format(x)
        return words.removesuffix("s") if x == "1" else words


@dataclass(frozen=True, slots=True)
class Line:
    """One setting and its records by x."""

    label: str
    style: Style
    by_x: Mapping[float, Sequence[Record]] = field(repr=False)

    @property
    def records(self) -> list[Record]:
        return [r for rows in self.by_x.values() for r in rows]

    def series(self, read: Reading) -> Series:
        found = (pool(rows, read, x) for x, rows in sorted(self.by_x.items()))
        return Series(self.label, self.style, tuple(p for p in found if p is not None))


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines that one picture has room for."""

    where: str
    lines: tuple[Line, ...]
    left_out: int  # settings at one x only

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(r for line in self.lines for r in line.records)


def pictures(evidence: Evidence, along: Along) -> Iterator[Picture]:
    """One for each question and, where there are too many lines, for each shape or knob."""
    for chart in charts(evidence, along):
        panels = tuple(
            Lines(title, along.x_title, tuple(s.series(read) for s in chart.lines), unit, scale)
            for title, unit, scale, read in _READINGS
        )
        left = chart.left_out
        note = f"{left} setting{'s' * (left > 1)} with one {along.name} only: in the table."
        yield Picture(
            titled(along.title, chart.where),
            sentence(evidence, along, chart),
            panels,
            chart.records,
            ("Bars: 95 % intervals; of several runs of the same, their median and range.",
             *([note] if left else [])),
        )  # fmt: skip


def charts(evidence: Evidence, along: Along) -> Iterator[Chart]:
    for subject, records in evidence.subjects():
        rows = [r for r in records if r.case.get(along.key) is not None]
        without = (*SUBJECT, along.key, *along.tied)
        keys = evidence.varying(rows, without=without)
        keys += evidence.varying(rows, along.apart) if along.apart else []
        lines, alone = _lines(evidence, rows, keys, along.key)
        for where, few in _split(evidence, lines, along.apart):
            yield Chart(
                ", ".join(filter(None, [subject, where])),
                _named(evidence, few, along.apart),
                alone,
            )


def _lines(
    evidence: Evidence, rows: Sequence[Record], keys: Sequence[str], key: str
) -> tuple[list[Line], int]:
    """Those with two points at least, and how many have only one."""
    found, alone = [], 0
    for label, group in evidence.groups(rows, keys):
        by_x: dict[float, list[Record]] = {}
        for record in group:
            by_x.setdefault(float(record.case[key]), []).append(record)
        if len(by_x) > 1:
            found.append(Line(label, Style(), by_x))
        else:
            alone += 1
    return found, alone


def _split(
    evidence: Evidence, lines: Sequence[Line], apart: Sequence[str]
) -> list[tuple[str, list[Line]]]:
    """Few enough lines for each picture: told apart by shape and knobs first, engines last."""
    keys = _apart(evidence, lines, apart)
    order = [k for k in keys if k not in _SPLIT_LAST]
    order += [k for k in _SPLIT_LAST if k in keys]
    by: list[str] = []
    parts = [("", list(lines))] if lines else []
    while order and any(len(few) > MOST_LINES for _, few in parts):
        by.append(order.pop(0))
        found: dict[str, list[Line]] = {}
        for line in lines:
            found.setdefault(evidence.label(line.records[0], by), []).append(line)
        parts = list(found.items())
    return parts


def _named(evidence: Evidence, lines: Sequence[Line], apart: Sequence[str]) -> tuple[Line, ...]:
    """Labels of what differs here, hues by engine and marks by the rest, as in every picture."""
    keys = _apart(evidence, lines, apart)
    styles = paint(evidence, [line.records[0] for line in lines])
    return tuple(
        Line(evidence.label(line.records[0], keys), style, line.by_x)
        for line, style in zip(lines, styles, strict=True)
    )


def _apart(evidence: Evidence, lines: Sequence[Line], more: Sequence[str]) -> list[str]:
    """The keys that tell these lines apart: they differ between them, never along one."""
    firsts = [line.records[0] for line in lines]
    keys = evidence.varying(firsts, without=SUBJECT)
    keys += evidence.varying(firsts, more) if more else []
    return [k for k in keys if all(len(_values(evidence, line, k)) == 1 for line in lines)]


def _values(evidence: Evidence, line: Line, key: str) -> set[str | None]:
    return {evidence.keys[r.id].get(key) for r in line.records}


def paint(evidence: Evidence, records: Sequence[Record], apart: bool = True) -> list[Style]:
    """A hue for each backend and a mark for each precision of the whole report.

    Where that does not tell the records `apart`, though it must, one of each for every record.
    """
    names = [
        list(dict.fromkeys(evidence.keys[r.id].get(k, "") for r in evidence.measured))
        for k in ("backend", "precision")
    ]
    found = [
        Style(names[0].index(evidence.keys[r.id]["backend"]),
              names[1].index(evidence.keys[r.id]["precision"]))
        for r in records
    ]  # fmt: skip
    if not apart or len(set(found)) == len(found):
        return found
    return [Style(i, i) for i in range(len(records))]


def sentence(evidence: Evidence, along: Along, chart: Chart) -> str:
    """Who is the fastest where; then the most throughput, and how it grows."""
    points: dict[float, dict[str, Point]] = {}
    rates: dict[str, Point] = {}
    for line in chart.lines:
        for p in line.series(latency).points:
            points.setdefault(p.x, {})[line.label] = p
        for p in line.series(throughput).points:
            place = f"at {along.spoken(f'{p.x:g}')}"
            rates[f"by {line.label} {place}" if len(chart.lines) > 1 else place] = p
    against = reference(evidence, {s.label: s.records for s in chart.lines}, along.key)
    parts = [fastest(points, along.name, along.spoken, against)]
    if best := winners(rates, high=True):
        rate = plain(rates[best[0]].value)
        near = f", not surely more than {listed(best[1:], 'or', 3)}" if len(best) > 1 else ""
        parts.append(f"Most throughput: {rate} sequences/s {best[0]}{near}.")
    if grown := growth(chart, latency):
        low, high, ratios = grown
        reach = along.spoken(f"{low:g} to {high:g}")
        faster = max(ratios) < 1
        ratio = times([1 / r for r in ratios] if faster else ratios)
        parts.append(
            f"From {reach}, a call takes {ratio} as long."
            if not faster
            else f"From {reach}, calls get {ratio} as fast."
        )
    return " ".join(filter(None, parts)) or "No ok record to compare."


def growth(chart: Chart, read: Reading) -> tuple[float, float, list[float]] | None:
    """The widest reach of x that most lines share, and each line's last value over its first."""
    ends: dict[tuple[float, float], list[float]] = {}
    for line in chart.lines:
        ok = [p for p in line.series(read).points if p.ok]
        if len(ok) > 1:
            ends.setdefault((ok[0].x, ok[-1].x), []).append(ok[-1].value / ok[0].value)
    if not ends:
        return None
    (low, high), ratios = max(ends.items(), key=lambda item: len(item[1]))
    return low, high, ratios
