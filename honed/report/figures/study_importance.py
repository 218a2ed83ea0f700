"""Which settings mattered in the search: the share of each in the variance of the cost."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence, Point
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.style import Style

ORDER = 4
_MOST, _LEAST = 12, 0.005


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    shares = {k: v for k, v in (study.importances if study else {}).items() if v >= _LEAST}
    if study is None or len(shares) < 2:
        return
    order = sorted(shares, key=lambda k: -shares[k])
    rows = tuple(
        Row(key, (Bar("", Style(), Point(0.0, 100 * shares[key], None, "ok", ())),))
        for key in order[:_MOST]
    )
    more = len(study.importances) - len(rows)
    note = f" {more} more keys have less." if more else ""
    first, *rest = (f"{k} ({shares[k]:.0%})" for k in order[:3])
    yield Picture(
        titled("What mattered in the search", study.name),
        f"{first} changes the cost the most over the settings tried, then {listed(rest)}.",
        (Bars("Share, %", rows, "%"),),
        study.drawn(evidence.records),
        ("Shares of the variance of the cost's logarithm over the settings tried, not gains. Keys "
         "that noise explains are left out."
         + note,),
        marked=False,
    )  # fmt: skip
