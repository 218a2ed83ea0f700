"""How the calls of each setting spread: medians hide the tail that users wait for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.report.evidence import Evidence, latency, pool
from honed.report.figures._settings import SettingRow, shapes
from honed.report.figures.base import Picture, titled
from honed.report.panels.spread import Spread, Strip, thin
from honed.show.numbers import plain

ORDER = 70
_FEWEST = 8  # calls; fewer are no distribution


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for shape in shapes(evidence, least=1):
        strips = tuple(s for row in shape.rows if (s := _strip(row)) is not None)
        if not strips:
            continue
        yield Picture(
            titled("How calls spread", shape.where),
            _sentence(strips),
            (Spread("Latency of each call, ms", strips),),
            shape.records,
            ("A dot is a call (many calls are thinned, by rank), the bar the middle half, the "
             "line the median, the dotted line the 99th percentile where enough calls support "
             "one.", *shape.notes),
        )  # fmt: skip


def _strip(row: SettingRow) -> Strip | None:
    """The calls of all runs together; the 99th percentile is the highest of the records'."""
    import numpy as np

    calls = [
        s for r in row.records if r.samples for instance in r.samples.latency_s for s in instance
    ]
    if len(calls) < _FEWEST:
        return None
    low, middle, high = (float(q) for q in np.quantile(calls, (0.25, 0.5, 0.75)))
    tails = [r.metrics.latency_s.p99 for r in row.records if r.metrics]
    known = [tail for tail in tails if tail is not None]
    point = pool(row.records, latency)
    mark = "" if point is None or point.ok else f" ({point.status})"
    return Strip(row.label + mark, row.style, thin(calls), len(calls), (low, high), middle,
                 max(known, default=None))  # fmt: skip


def _sentence(strips: Sequence[Strip]) -> str:
    tails = {s.label: s.p99_s / s.p50_s for s in strips if s.p99_s is not None}
    if not tails:
        return "Too few calls to know the slowest of a hundred: raise duration_s or min_samples."
    worst = max(tails, key=lambda label: tails[label])
    best = min(tails, key=lambda label: tails[label])
    if worst == best:
        return f"The slowest call of a hundred takes {plain(tails[worst])} times the median."
    return (
        f"The slowest call of a hundred takes {plain(tails[best])} times the median with {best}, "
        f"the steadiest, and {plain(tails[worst])} times with {worst}."
    )
