"""The default against the recommendation: both measured in turns at the end of the study."""

from __future__ import annotations

from collections.abc import Iterator

from honed.record import Record
from honed.report.evidence import Evidence, Reading, latency, pool, throughput
from honed.report.figures.base import Picture, titled
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.study import Side, StudyFacts
from honed.report.style import Style

ORDER = 1
_MIB = 2**20


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or study.default is None or study.best is None:
        return
    sides = {"default": study.default, "recommended": study.best}
    panels = tuple(
        bars
        for title, unit, scale, read in _READINGS
        if len((bars := _bars(evidence, sides, read, (title, unit, scale))).rows) > 1
    )
    if not panels:
        return
    yield Picture(
        titled("Default against recommended", study.name),
        _sentence(study),
        panels,
        tuple(r for side in sides.values() for r in _records(evidence, side)),
        (f"Recommended: {study.best.setting}.",
         "Both were measured in turns; bars are medians over their processes, whiskers the ends "
         "that hold all of these' 95 % intervals; the times are from the pairs."),
    )  # fmt: skip


def _records(evidence: Evidence, side: Side) -> list[Record]:
    return [evidence.by_id[id] for id in side.records if id in evidence.by_id]


def _bars(
    evidence: Evidence, sides: dict[str, Side], read: Reading, about: tuple[str, str, float]
) -> Bars:
    title, unit, scale = about
    rows = (
        Row(label, (Bar("", Style(hue), point),))
        for hue, (label, side) in enumerate(sides.items())
        if (point := pool(_records(evidence, side), read)) is not None
    )
    return Bars(title, tuple(rows), unit, scale)


def _sentence(study: StudyFacts) -> str:
    if study.gain.value in (None, 1.0):
        return f"{study.headline[:1].upper()}{study.headline[1:]}."
    wanted = " and ".join(g.name for g in study.goals)
    return f"From the default to the recommendation for {wanted}: {study.headline}."


def _tail(record: Record) -> tuple[float, tuple[float, float] | None] | None:
    found = record.metrics.latency_s if record.metrics else None
    return None if found is None or found.p99 is None else (found.p99, found.p99_ci95)


def _memory(record: Record) -> tuple[float, None] | None:
    size = record.memory.rss_peak_bytes if record.memory else None
    return None if size is None else (float(size), None)


_READINGS: tuple[tuple[str, str, float, Reading], ...] = (
    ("Latency, ms a call", "ms", 1e3, latency),
    ("Latency, slowest of a hundred, ms", "ms", 1e3, _tail),
    ("Throughput, sequences/s", "/s", 1.0, throughput),
    ("Memory of the process at its peak, MiB", "MiB", 1 / _MIB, _memory),
)
