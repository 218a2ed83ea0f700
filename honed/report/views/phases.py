"""Forward, backward and optimizer: their times, their shares, and what a setting changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.record import Latency, Record
from honed.report.evidence import Point
from honed.report.figures.base import Picture
from honed.report.findings import listed
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.style import Style
from honed.report.views.base import Grid, Shown, Subject, times
from honed.show.numbers import NONE, measured, plain, seconds
from honed.step import PHASES

_STEP = "step"
_HEADINGS = ("phase", "mean ms", "stdev ms", "p50 ms (95 %)", "calls")


def show(subject: Subject) -> Shown:
    records = phased(subject)
    if not records:
        return Shown()
    compared = subject.result.experiment.compares
    findings = _compared(subject, records) if compared else _shares(subject, records)
    return Shown(tuple(findings), (grid(subject, records),), (picture(subject, records),))


def phased(subject: Subject) -> list[Record]:
    """The records whose calls have phases."""
    return [r for r in subject.records if r.metrics is not None and r.metrics.phases]


def phases_of(record: Record) -> dict[str, Latency]:
    return dict((record.metrics.phases if record.metrics else None) or {})


def grid(subject: Subject, records: Sequence[Record]) -> Grid:
    """Mean and standard deviation beside the median, a line for each phase."""
    rows = []
    for record in records:
        label = subject.label(record)
        for name, latency in phases_of(record).items():
            spread = NONE if latency.stdev is None else plain(latency.stdev * 1e3)
            median = measured(latency.p50, latency.ci95, 1e3)
            calls = record.metrics.samples if record.metrics else 0
            rows.append((label, name, plain(latency.mean * 1e3, 4), spread, median, str(calls)))
    return Grid("Phases of a call", ("settings", *_HEADINGS), tuple(rows), left=2)


def picture(subject: Subject, records: Sequence[Record]) -> Picture:
    """A row for each record, a bar for each phase."""
    rows = []
    for record in records:
        bars = tuple(
            Bar(name, Style(hue), _point(latency, record))
            for hue, name in enumerate((*PHASES, _STEP))
            if (latency := phases_of(record).get(name)) is not None
        )
        rows.append(Row(subject.label(record), bars))
    return Picture(
        "Time of each phase", "Means of the measured steps, with the standard deviation.",
        (Bars("Mean time, ms", tuple(rows), "ms"),), tuple(records),
    )  # fmt: skip


def _point(latency: Latency, record: Record) -> Point:
    mean, spread = latency.mean * 1e3, (latency.stdev or 0.0) * 1e3
    ends = (max(0.0, mean - spread), mean + spread) if spread else None
    return Point(0.0, mean, ends, record.status, (record,))


def _shares(subject: Subject, records: Sequence[Record]) -> Iterator[str]:
    """Of whole steps: how long, and which share each phase has."""
    for record in records:
        phases = phases_of(record)
        step = phases[_STEP]
        parts = [name for name in PHASES if name in phases]
        if len(parts) < 2:
            yield f"{subject.label(record)}: {seconds(step.mean)}."
            continue
        shares = [f"{name} {phases[name].mean / step.mean:.0%}" for name in parts]
        off = abs(sum(phases[name].mean for name in parts) / step.mean - 1)
        yield (
            f"{subject.label(record)}: a step takes {seconds(step.mean)}: {listed(shares)}; the "
            f"phases, timed apart, add up to the step within {off:.1%}."
        )


def _compared(subject: Subject, records: Sequence[Record]) -> Iterator[str]:
    """Every record beside the first of the same model and shape."""
    for _, (first, *others) in subject.alike(records):
        for other in others:
            yield f"{subject.label(other)} {_beside(other, first)} {subject.label(first)}."


def _beside(record: Record, first: Record) -> str:
    """`is 1.8 times as fast as`."""
    own, base = phases_of(record), phases_of(first)
    ratios = {name: own[name].mean / base[name].mean for name in own if name in base}
    whole = ratios.pop(_STEP)
    parts = [f"{name} {times(ratio)}" for name, ratio in ratios.items()]
    detail = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    return f"{times(whole)}{detail} as"
