"""The gain of each key of the recommendation, measured with it and without it in turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.ratios import Ratio, Ratios
from honed.study import Earned

ORDER = 2


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or not study.earned or study.best is None:
        return
    earned = sorted(study.earned, key=lambda e: -(e.gain.value or 0.0))
    rows = tuple(
        Ratio(_named(e) + ("" if e.kept else " (dropped)"), e.gain, e.kept) for e in earned
    )
    yield Picture(
        titled("What each setting earned", study.name),
        _sentence(earned),
        (Ratios("Times better with it than without", rows),),
        evidence.stored(study.best.records) or study.drawn(evidence.records),
        ("Each setting is taken away alone, so the gains need not multiply to the whole. Filled: "
         "kept. Whiskers: 95 % intervals from pairs measured in turns.",),
    )  # fmt: skip


def _named(earned: Earned) -> str:
    return _study.setting_text(earned.key, earned.value)


def _sentence(earned: Sequence[Earned]) -> str:
    parts = []
    if sure := [e for e in earned if e.kept and e.gain.value is not None]:
        gains = [f"{_named(e)} {e.gain.value:.2f} times" for e in sure]
        parts.append(f"Most comes from {listed(gains)}.")
    if dropped := [_named(e) for e in earned if not e.kept]:
        parts.append(f"Dropped, since no gain could be proven: {listed(dropped)}.")
    if unknown := [_named(e) for e in earned if e.kept and e.gain.value is None]:
        parts.append(f"Not measured alone: {listed(unknown)}.")
    return " ".join(parts)
