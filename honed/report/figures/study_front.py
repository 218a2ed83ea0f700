"""Several objectives: the settings that no other one beats in all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.report.study import Spot, StudyFacts, front
from honed.report.style import Style

ORDER = 7
_MOST = 3
_FRONT, _REST = Style(0, 0), Style(6, 1)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or len(study.goals) < 2:
        return
    able = [s for s in study.spots if s.feasible]
    unbeaten = front([s.values for s in able], [g.beats for g in study.goals])
    best = tuple(able[i] for i in unbeaten)
    if len(able) < 2:
        return
    pairs = list(itertools.combinations(range(len(study.goals)), 2))[:_MOST]
    yield Picture(
        titled("Pareto front", study.name),
        _sentence(study, best, len(able)),
        tuple(_panel(study, best, pair) for pair in pairs),
        _study.records_of(evidence, study.spots),
        ("A dot is a setting, the median of its trials. Hollow: over a limit.",),
        marked=False,
    )


def _panel(study: StudyFacts, best: tuple[Spot, ...], pair: tuple[int, int]) -> Cloud:
    across, up = (study.goals[i] for i in pair)

    def dots(spots: list[Spot]) -> tuple[Dot, ...]:
        return tuple(
            Dot(s.values[pair[0]], s.values[pair[1]], _study.spot_text(s, study.goals),
                not s.feasible)
            for s in spots
        )  # fmt: skip

    line = tuple(sorted((s.values[pair[0]], s.values[pair[1]]) for s in best))
    trails = (Trail("front", _FRONT, line, steps=False),) if len(pair) == len(study.goals) else ()
    groups = (
        Group("no other beats it", _FRONT, dots(list(best))),
        Group("beaten", _REST, dots([s for s in study.spots if s not in best])),
    )
    return Cloud(f"{up.title}", across.title, groups, trails)


def _sentence(study: StudyFacts, best: tuple[Spot, ...], able: int) -> str:
    goal = study.goals[0]
    ordered = sorted(best, key=lambda s: s.values[0], reverse=goal.better == "more")
    if len(best) == 1:
        return (
            f"One of {able} settings beats all others in every objective: {_told(study, best[0])}."
        )
    return (
        f"{len(best)} of {able} settings are not beaten: from {_told(study, ordered[0])} to "
        f"{_told(study, ordered[-1])}."
    )


def _told(study: StudyFacts, spot: Spot) -> str:
    values = [_study.value(g, v) for g, v in zip(study.goals, spot.values, strict=True)]
    return f"{' and '.join(values)} ({_study.name(spot.point, 48)})"
