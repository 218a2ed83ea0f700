"""What each setting of the recommendation earned: measured with it and without it, in turns."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.ratios import Ratio, Ratios
from honed.report.study import Gained

ORDER = 2


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or not study.earned or study.best is None:
        return
    rows = sorted(study.earned, key=lambda e: -(e.gain.value or 0.0))
    yield Picture(
        titled("What each setting earned", study.name),
        _sentence(rows),
        (Ratios("Times better with it than without", tuple(map(_row, rows))),),
        tuple(r for id in study.best.records if (r := evidence.by_id.get(id)) is not None)
        or study.drawn(evidence.records),
        ("Each is taken away alone, so that they need not multiply to the whole. Filled: kept. "
         "Whiskers: 95 %, from pairs measured in turns.",),
    )  # fmt: skip


def _row(of: Gained) -> Ratio:
    return Ratio(of.setting + ("" if of.kept else " (dropped)"), of.gain, of.kept)


def _sentence(rows: list[Gained]) -> str:
    sure = [r for r in rows if r.kept and r.gain.value is not None]
    parts = []
    if sure:
        told = [f"{r.setting} {r.gain.value:.2f} times" for r in sure]
        parts.append(f"Most comes from {listed(told)}.")
    if dropped := [r.setting for r in rows if not r.kept]:
        parts.append(f"Dropped, since no gain could be proven: {listed(dropped)}.")
    if unknown := [r.setting for r in rows if r.kept and r.gain.value is None]:
        parts.append(f"Not measured alone: {listed(unknown)}.")
    return " ".join(parts)
