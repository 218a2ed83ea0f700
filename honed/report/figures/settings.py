"""Engines, precisions and knobs side by side: latency and throughput, the fastest first."""

from __future__ import annotations

from collections.abc import Iterator

from honed.measures import MEASURES, Measure
from honed.report.evidence import Evidence, latency, pool, short_unit, shown
from honed.report.figures._settings import Shape, shapes
from honed.report.figures.base import Picture, titled
from honed.report.findings import fastest, reference
from honed.report.panels.bars import Bar, Bars, Row

ORDER = 10


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for shape in shapes(evidence):
        yield Picture(
            titled("Settings side by side", shape.where),
            _sentence(evidence, shape),
            (_bars(shape, MEASURES["latency"]), _bars(shape, MEASURES["throughput"])),
            shape.records,
            ("Whiskers: 95 % intervals; of several runs of the same setting, the median and "
             "range.", *shape.notes),
        )  # fmt: skip


def _bars(shape: Shape, measure: Measure) -> Bars:
    rows = (
        Row(row.label, (Bar("", row.style, point),))
        for row in shape.rows
        if (point := pool(row.records, shown(measure))) is not None
    )
    return Bars(measure.axis, tuple(rows), short_unit(measure))


def _sentence(evidence: Evidence, shape: Shape) -> str:
    points = {row.label: p for row in shape.rows if (p := pool(row.records, latency)) is not None}
    default = reference(evidence, {row.label: row.records for row in shape.rows})
    if default is None and (ok := {label: p for label, p in points.items() if p.ok}):
        default = max(ok, key=lambda label: ok[label].value)
    finding = fastest({0.0: points}, "", str, default)
    return finding or "Fewer than two ok settings: nothing to compare."
