"""Latency and throughput along one key of the Case: the basis of several figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from honed.measures import MEASURES, Measure
from honed.record import Record
from honed.report.evidence import Evidence, Point, pool, short_unit, shown
from honed.report.figures.base import Picture, titled
from honed.report.findings import fastest, listed, reference, times, winners
from honed.report.panels.lines import Lines, Series
from honed.report.style import Style
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

MOST_LINES = 12  # more lines cannot be followed, whatever their hues and marks
_SPLIT_LAST = ("precision", "backend")
_LATENCY, _THROUGHPUT = MEASURES["latency"], MEASURES["throughput"]


@dataclass(frozen=True, slots=True)
class Along:
    """`key` is the axis; `name` as in "at every batch size", `at` as in "at batch size {}".

    Keys in `tied` follow from the axis and do not distinguish lines; keys in `apart` distinguish
    them instead.
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

    def pictures(self, evidence: Evidence) -> Iterator[Picture]:
        """One for each question and, where there are too many lines, for each shape or knob."""
        for chart in charts(evidence, self):
            panels = []
            for measure in (_LATENCY, _THROUGHPUT):
                series = tuple(line.series(measure) for line in chart.lines)
                panels.append(Lines(measure.axis, self.x_title, series, short_unit(measure)))
            notes = ["Bars: 95 % intervals; of several runs of the same setting, the median and "
                     "range."]  # fmt: skip
            if left := chart.left_out:
                settings = f"{left} setting{'s' * (left > 1)}"
                notes.append(f"{settings} with one {self.name} only: in the table.")
            finding = sentence(evidence, self, chart)
            title = titled(self.title, chart.where)
            yield Picture(title, finding, tuple(panels), chart.records, tuple(notes))


@dataclass(frozen=True, slots=True)
class Line:
    """One setting and its records by x."""

    label: str
    style: Style
    by_x: Mapping[float, Sequence[Record]] = field(repr=False)

    @property
    def records(self) -> list[Record]:
        return [r for same in self.by_x.values() for r in same]

    def series(self, measure: Measure) -> Series:
        read = shown(measure)
        points = (pool(records, read, x) for x, records in sorted(self.by_x.items()))
        return Series(self.label, self.style, tuple(p for p in points if p is not None))


@dataclass(frozen=True, slots=True)
class Chart:
    """As many lines as one picture has room for."""

    where: str
    lines: tuple[Line, ...]
    left_out: int  # settings at one x only

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(r for line in self.lines for r in line.records)


def charts(evidence: Evidence, along: Along) -> Iterator[Chart]:
    for subject, measured in evidence.subjects():
        records = [r for r in measured if r.case.get(along.key) is not None]
        keys = evidence.varying(records, without=(*SUBJECT, along.key, *along.tied))
        keys += evidence.varying(records, along.apart) if along.apart else []
        lines, left_out = _lines(evidence, records, keys, along.key)
        for where, few in _split(evidence, lines, along.apart):
            heading = ", ".join(filter(None, [subject, where]))
            yield Chart(heading, _named(evidence, few, along.apart), left_out)


def _lines(
    evidence: Evidence, records: Sequence[Record], keys: Sequence[str], key: str
) -> tuple[list[Line], int]:
    """The lines with two points at least, and how many settings have only one."""
    lines, left_out = [], 0
    for label, group in evidence.groups(records, keys):
        by_x: dict[float, list[Record]] = {}
        for record in group:
            by_x.setdefault(float(record.case[key]), []).append(record)
        if len(by_x) > 1:
            lines.append(Line(label, Style(), by_x))
        else:
            left_out += 1
    return lines, left_out


def _split(
    evidence: Evidence, lines: Sequence[Line], apart: Sequence[str]
) -> list[tuple[str, list[Line]]]:
    """Few enough lines for each picture, split by shape and knobs first, by engine last."""
    keys = _distinguishing(evidence, lines, apart)
    order = [k for k in keys if k not in _SPLIT_LAST]
    order += [k for k in _SPLIT_LAST if k in keys]
    split_by: list[str] = []
    parts = [("", list(lines))] if lines else []
    while order and any(len(few) > MOST_LINES for _, few in parts):
        split_by.append(order.pop(0))
        groups: dict[str, list[Line]] = {}
        for line in lines:
            groups.setdefault(evidence.label(line.records[0], split_by), []).append(line)
        parts = list(groups.items())
    return parts


def _named(evidence: Evidence, lines: Sequence[Line], apart: Sequence[str]) -> tuple[Line, ...]:
    """Labels of what differs in this picture; hues by engine and marks by precision."""
    keys = _distinguishing(evidence, lines, apart)
    styles = paint(evidence, [line.records[0] for line in lines])
    return tuple(
        Line(evidence.label(line.records[0], keys), style, line.by_x)
        for line, style in zip(lines, styles, strict=True)
    )


def _distinguishing(evidence: Evidence, lines: Sequence[Line], more: Sequence[str]) -> list[str]:
    """The keys that differ between these lines and never along one of them."""
    firsts = [line.records[0] for line in lines]
    keys = evidence.varying(firsts, without=SUBJECT)
    keys += evidence.varying(firsts, more) if more else []
    return [
        key for key in keys
        if all(len({evidence.keys[r.id].get(key) for r in line.records}) == 1 for line in lines)
    ]  # fmt: skip


def paint(evidence: Evidence, records: Sequence[Record], apart: bool = True) -> list[Style]:
    """A hue for each backend and a mark for each precision, the same in the whole report.

    Records that must be `apart` but share both get a hue and a mark each.
    """
    names = [
        list(dict.fromkeys(evidence.keys[r.id].get(k, "") for r in evidence.measured))
        for k in ("backend", "precision")
    ]
    styles = [
        Style(names[0].index(evidence.keys[r.id]["backend"]),
              names[1].index(evidence.keys[r.id]["precision"]))
        for r in records
    ]  # fmt: skip
    if not apart or len(set(styles)) == len(styles):
        return styles
    return [Style(i, i) for i in range(len(records))]


def sentence(evidence: Evidence, along: Along, chart: Chart) -> str:
    """The fastest setting at each x; then the most throughput, and how latency grows."""
    points: dict[float, dict[str, Point]] = {}
    rates: dict[str, Point] = {}
    for line in chart.lines:
        for p in line.series(_LATENCY).points:
            points.setdefault(p.x, {})[line.label] = p
        for p in line.series(_THROUGHPUT).points:
            place = f"at {along.spoken(f'{p.x:g}')}"
            rates[f"by {line.label} {place}" if len(chart.lines) > 1 else place] = p
    default = reference(evidence, {s.label: s.records for s in chart.lines}, along.key)
    parts = [fastest(points, along.name, along.spoken, default)]
    if best := winners(rates, high=True):
        rate = plain(rates[best[0]].value)
        near = f", not surely more than {listed(best[1:], 'or', 3)}" if len(best) > 1 else ""
        parts.append(f"Most throughput: {rate} sequences/s {best[0]}{near}.")
    if grown := _growth(chart):
        low, high, ratios = grown
        reach = along.spoken(f"{low:g} to {high:g}")
        if max(ratios) < 1:
            parts.append(f"From {reach}, calls get {times([1 / r for r in ratios])} as fast.")
        else:
            parts.append(f"From {reach}, a call takes {times(ratios)} as long.")
    return " ".join(filter(None, parts)) or "No ok record to compare."


def _growth(chart: Chart) -> tuple[float, float, list[float]] | None:
    """The widest reach of x that most lines share, and each line's last latency over its first."""
    ratios: dict[tuple[float, float], list[float]] = {}
    for line in chart.lines:
        ok = [p for p in line.series(_LATENCY).points if p.ok]
        if len(ok) > 1:
            ratios.setdefault((ok[0].x, ok[-1].x), []).append(ok[-1].value / ok[0].value)
    if not ratios:
        return None
    (low, high), widest = max(ratios.items(), key=lambda item: len(item[1]))
    return low, high, widest
