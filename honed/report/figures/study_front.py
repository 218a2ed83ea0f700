"""The Pareto front of a study with several objectives: settings that no other setting beats."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.report.style import Style
from honed.study import Candidate, StudyFacts, front

ORDER = 7
_MOST = 3  # pairs of objectives
_FRONT, _REST = Style(0, 0), Style(6, 1)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or len(study.goals) < 2:
        return
    feasible = sum(c.feasible for c in study.candidates)
    if feasible < 2:
        return
    best = front(study.candidates)
    pairs = list(itertools.combinations(range(len(study.goals)), 2))[:_MOST]
    yield Picture(
        titled("Pareto front", study.name), _sentence(study, best, feasible),
        tuple(_panel(study, best, pair) for pair in pairs),
        _study.records_of(evidence, study.candidates),
        ("A dot is a setting, the median of its trials. Hollow: over a limit.",), marked=False,
    )  # fmt: skip


def _panel(study: StudyFacts, best: Sequence[Candidate], pair: tuple[int, int]) -> Cloud:
    i, j = pair

    def dots(candidates: Sequence[Candidate]) -> tuple[Dot, ...]:
        return tuple(
            Dot(c.values[i], c.values[j], _study.candidate_hover(c, study.goals), not c.feasible)
            for c in candidates
        )

    line = tuple(sorted((c.values[i], c.values[j]) for c in best))
    trails = (Trail("front", _FRONT, line, steps=False),) if len(pair) == len(study.goals) else ()
    groups = (
        Group("no other beats it", _FRONT, dots(best)),
        Group("beaten", _REST, dots([c for c in study.candidates if c not in best])),
    )
    return Cloud(study.goals[j].title, study.goals[i].title, groups, trails)


def _sentence(study: StudyFacts, best: Sequence[Candidate], feasible: int) -> str:
    goal = study.goals[0]
    ordered = sorted(best, key=lambda c: c.values[0], reverse=goal.better == "more")
    first, last = _described(study, ordered[0]), _described(study, ordered[-1])
    if len(best) == 1:
        return f"One of {feasible} settings beats all others in every objective: {first}."
    return f"{len(best)} of {feasible} settings are not beaten: from {first} to {last}."


def _described(study: StudyFacts, candidate: Candidate) -> str:
    values = [_study.goal_text(g, v) for g, v in zip(study.goals, candidate.values, strict=True)]
    return f"{' and '.join(values)} ({_study.name(candidate.setting, 48)})"
