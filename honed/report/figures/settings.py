"""Engines, precisions and knobs side by side: latency and throughput, the fastest first."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence, Reading, latency, pool, throughput
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
            (
                _bars(shape, "Latency, ms a call", "ms", 1e3, latency),
                _bars(shape, "Throughput, sequences/s", "/s", 1.0, throughput),
            ),
            shape.records,
            ("Whiskers: 95 % intervals; of several runs of the same, median and range.",
             *shape.notes),
        )  # fmt: skip


def _bars(shape: Shape, title: str, unit: str, scale: float, read: Reading) -> Bars:
    rows = (
        Row(s.label, (Bar("", s.style, point),))
        for s in shape.settings
        if (point := pool(s.records, read)) is not None
    )
    return Bars(title, tuple(rows), unit, scale)


def _sentence(evidence: Evidence, shape: Shape) -> str:
    points = {s.label: p for s in shape.settings if (p := pool(s.records, latency)) is not None}
    against = reference(evidence, {s.label: s.records for s in shape.settings})
    if against is None and (ok := {label: p for label, p in points.items() if p.ok}):
        against = max(ok, key=lambda label: ok[label].value)
    said = fastest({0.0: points}, "", str, against)
    return said or "Fewer than two ok settings: nothing to compare."
