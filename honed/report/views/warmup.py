"""The same step after different numbers of warm-up steps: what the first calls do to the mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from honed.record import Record
from honed.report.evidence import Point
from honed.report.figures.base import Picture
from honed.report.panels.lines import Lines, Series
from honed.report.style import Style
from honed.report.views import phases
from honed.report.views.base import Shown, Subject
from honed.show.numbers import plain, seconds

_STEP = "step"


def show(subject: Subject) -> Shown:
    records = sorted(phases.phased(subject), key=_warmups)
    if len(records) < 2:
        return Shown()
    by_warmups = replace(subject, named_by=("warmup_steps",))
    grid = phases.grid(by_warmups, records)
    return Shown(tuple(_findings(records)), (grid,), (_picture(records),))


def _warmups(record: Record) -> int:
    return int(record.case.get("warmup_steps") or 0)


def _findings(records: Sequence[Record]) -> Iterator[str]:
    warm = phases.phases_of(records[-1])[_STEP]
    for record in records[:-1]:
        step = phases.phases_of(record)[_STEP]
        spread = ""
        if step.stdev is not None:
            spread = f", and the standard deviation is {step.stdev / step.mean:.0%} of it"
        yield (
            f"After {_warmups(record)} warm-up steps the mean is {plain(step.mean / warm.mean)} "
            f"times as long as after {_warmups(records[-1])}: it is {seconds(step.mean)}{spread}. "
            f"The slowest step took {plain(step.max / step.p50)} times the median."
        )


def _picture(records: Sequence[Record]) -> Picture:
    """Mean with standard deviation, and median, over the number of warm-up steps."""
    series = []
    for hue, (name, phase) in enumerate(
        (("mean of the step", _STEP), ("mean of forward", "forward"))
    ):
        points = []
        for record in records:
            latency = phases.phases_of(record)[phase]
            spread = latency.stdev or 0.0
            ends = (max(0.0, latency.mean - spread) * 1e3, (latency.mean + spread) * 1e3)
            points.append(
                Point(float(_warmups(record)), latency.mean * 1e3, ends, record.status, (record,))
            )
        series.append(Series(name, Style(hue, hue), tuple(points)))
    return Picture(
        "Warm-up", "Bars reach one standard deviation up and down.",
        (Lines("Time of a step, ms", "warm-up steps before the measured ones", tuple(series),
               "ms"),),
        tuple(records),
    )  # fmt: skip
