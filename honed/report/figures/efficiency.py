"""Scaling efficiency: what more cores or instances bring, of what they would bring at best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.report.evidence import Evidence, Point, throughput
from honed.report.figures import _along, cores, instances
from honed.report.figures.base import Picture, titled
from honed.report.panels.lines import Level, Lines, Series
from honed.show.numbers import overlap

ORDER = 55
_WORDS = {"threads": "cores", "instances": "instances"}


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for along in (cores.ALONG, instances.ON_MORE):
        for chart in _along.charts(evidence, along):
            series = [Series(s.label, s.style, _shares(s)) for s in chart.lines]
            known = tuple(s for s in series if len(s.points) > 1)
            if not known:
                continue
            word = _WORDS[along.key]
            panel = Lines("Share of perfect scaling, %", along.x_title, known, "%", 100.0,
                          (Level("perfect", 1.0),))  # fmt: skip
            yield Picture(
                titled(f"Scaling efficiency over {word}", chart.where),
                _sentence(word, known),
                (panel,),
                chart.records,
                (f"Throughput for each of the {word}, over that of the fewest. Bars: the ends "
                 "that both 95 % intervals allow.",),
            )  # fmt: skip


def _shares(line: _along.Line) -> tuple[Point, ...]:
    """Throughput per core over the first's, its ends the widest that both intervals allow."""
    found = line.series(throughput).points
    if not found:
        return ()
    first = found[0]
    shares = []
    for p in found:
        more = p.x / first.x
        ends = None
        if p is not first and p.ends and first.ends:
            ends = (p.low / first.high / more, p.high / first.low / more)
        shares.append(Point(p.x, p.value / first.value / more, ends, p.status, p.records))
    return tuple(shares)


def _sentence(word: str, series: Sequence[Series]) -> str:
    last = {s.label: ok[-1] for s in series if len(ok := [p for p in s.points if p.ok]) > 1}
    if not last:
        return "No two ok records to compare."
    best = max(last, key=lambda label: last[label].value)
    worst = min(last, key=lambda label: last[label].value)

    def told(label: str) -> str:
        at = last[label]
        return f"{at.value:.0%} of perfect at {at.x:g} {word}"

    if overlap((last[best].low, last[best].high), (last[worst].low, last[worst].high)):
        which = "All scale alike" if len(last) > 1 else "Measured"
        return f"{which}: {told(best)}."
    return f"{best} scales best, {told(best)}; {worst} least, {told(worst)}."
