"""The default against the recommendation: both measured in turns at the end of the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from honed.measures import MEASURES, Measure
from honed.report.evidence import Evidence, pool, short_unit, shown
from honed.report.figures.base import Picture, titled
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.style import Style
from honed.study import Side, StudyFacts

ORDER = 1
_MEASURES = ("latency", "latency_p99", "throughput", "rss_peak")


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or study.default is None or study.best is None:
        return
    sides = {"default": study.default, "recommended": study.best}
    panels = (_bars(evidence, sides, MEASURES[name]) for name in _MEASURES)
    complete = tuple(panel for panel in panels if len(panel.rows) == len(sides))
    if not complete:
        return
    yield Picture(
        titled("Default against recommended", study.name),
        _sentence(study),
        complete,
        tuple(r for side in sides.values() for r in evidence.stored(side.records)),
        (f"Recommended: {study.best.setting.name}.", *_notes(study)),
    )


def _notes(study: StudyFacts) -> Iterator[str]:
    """How both were measured, and what the last measurements showed."""
    outcome = study.outcome
    if outcome and all(p and p.records for p in (outcome.default_pooled, outcome.best_pooled)):
        yield (
            "Both were measured in turns. A bar is the geometric mean of the processes with the "
            "95 % interval of this mean; the gain is from the blocks, which cancel the machine's "
            "drift."
        )
    else:
        yield "Each bar is one process: the two were not measured in turns."
    if outcome and outcome.note:
        yield f"When the settings were measured again: {outcome.note}."


def _bars(evidence: Evidence, sides: Mapping[str, Side], measure: Measure) -> Bars:
    rows = (
        Row(label, (Bar("", Style(hue), point),))
        for hue, (label, side) in enumerate(sides.items())
        if (point := pool(evidence.stored(side.records), shown(measure))) is not None
    )
    return Bars(measure.axis, tuple(rows), short_unit(measure))


def _sentence(study: StudyFacts) -> str:
    if study.gain.value in (None, 1.0):
        return f"{study.headline[:1].upper()}{study.headline[1:]}."
    goals = " and ".join(g.name for g in study.goals)
    return f"From the default to the recommendation for {goals}: {study.headline}."
