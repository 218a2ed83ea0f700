"""Scaling efficiency: the gain from more cores or instances, over the gain of perfect scaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.measures import MEASURES
from honed.report.evidence import Evidence, Point
from honed.report.figures import _along, cores, instances
from honed.report.figures.base import Picture, titled
from honed.report.panels.lines import Level, Lines, Series
from honed.show.numbers import overlap

ORDER = 55
_UNITS = {"threads": "cores", "instances": "instances"}


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for along in (cores.ALONG, instances.ON_MORE):
        units = _UNITS[along.key]
        for chart in _along.charts(evidence, along):
            series = [Series(line.label, line.style, _shares(line)) for line in chart.lines]
            known = tuple(s for s in series if len(s.points) > 1)
            if not known:
                continue
            panel = Lines("Share of perfect scaling, %", along.x_title, known, "%",
                          (Level("perfect", 100.0),))  # fmt: skip
            yield Picture(
                titled(f"Scaling efficiency over {units}", chart.where),
                _sentence(units, known),
                (panel,),
                chart.records,
                (f"Throughput for each of the {units}, over that of the fewest. Bars: the ends "
                 "that both 95 % intervals allow.",),
            )  # fmt: skip


def _shares(line: _along.Line) -> tuple[Point, ...]:
    """Percent of the first point's throughput per unit, with the widest ends that both intervals
    allow."""
    points = line.series(MEASURES["throughput"]).points
    shares = []
    for p in points:
        first, more = points[0], p.x / points[0].x
        ends = None
        if p is not first and p.ends and first.ends:
            ends = (100 * p.low / first.high / more, 100 * p.high / first.low / more)
        shares.append(Point(p.x, 100 * p.value / first.value / more, ends, p.status, p.records))
    return tuple(shares)


def _sentence(units: str, series: Sequence[Series]) -> str:
    last = {s.label: ok[-1] for s in series if len(ok := [p for p in s.points if p.ok]) > 1}
    if not last:
        return "No two ok records to compare."
    best = max(last, key=lambda label: last[label].value)
    worst = min(last, key=lambda label: last[label].value)

    def share(label: str) -> str:
        return f"{last[label].value:.0f}% of perfect at {last[label].x:g} {units}"

    if overlap((last[best].low, last[best].high), (last[worst].low, last[worst].high)):
        which = "All scale alike" if len(last) > 1 else "Measured"
        return f"{which}: {share(best)}."
    return f"{best} scales best, {share(best)}; {worst} least, {share(worst)}."
