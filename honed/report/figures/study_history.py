"""The search as it went: every trial by stage, the best so far, and what gave no result."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.cloud import Cloud, Dot, Group, Trail, best_so_far
from honed.report.study import Goal, StudyFacts
from honed.report.style import Style
from honed.show.numbers import plain

ORDER = 3
_TRAIL = Style(6, 0)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or len([t for t in study.ended if t.values]) < 2:
        return
    hollow = (
        "Hollow: over a limit. " if any(not t.feasible for t in study.ended if t.values) else ""
    )
    yield Picture(
        titled("The search", study.name),
        _sentence(study),
        tuple(_panel(study, i, goal) for i, goal in enumerate(study.goals)),
        study.drawn(evidence.records),
        (f"{hollow}A cross at the foot: no result. The line: the best so far that keeps every "
         "limit. A trial is short and one draw; the recommendation is measured again.",),
        marked=False,
    )  # fmt: skip


def _panel(study: StudyFacts, index: int, goal: Goal) -> Cloud:
    groups = []
    for stage, style in _study.stages(study).items():
        dots = tuple(
            Dot(t.number, t.values[index], _study.trial_text(t, study.goals), not t.feasible)
            for t in study.ended
            if t.stage == stage and t.values
        )
        groups.append(Group(stage, style, dots))
    every = [d for g in groups for d in g.dots]
    steps = best_so_far(every, goal.better == "less")
    failed = tuple(
        (float(t.number), _study.trial_text(t, study.goals)) for t in study.ended if not t.values
    )
    trails = (Trail("best so far", _TRAIL, steps),) if steps else ()
    return Cloud(goal.title, "trial", tuple(groups), trails, failed, whole_x=True)


def _sentence(study: StudyFacts) -> str:
    """Of the first goal."""
    goal = study.goals[0]
    able = [t for t in study.ended if t.values and t.feasible]
    left = _study.left_out(study)
    of = f"Of {len(study.ended)} trials{f' ({left})' if left else ''}"
    if not able:
        return f"{of} none keeps every limit."
    top = goal.best([t.values[0] for t in able])
    first = next(t for t in able if t.values[0] == top)
    said = f"{of} the best for {goal.name} is trial {first.number} ({first.stage}), "
    said += _study.value(goal, top)
    start = next((t for t in study.ended if t.stage == "default" and t.values), None)
    if start is None or start is first:
        return f"{said}."
    ratio = top / start.values[0] if goal.better == "more" else start.values[0] / top
    return f"{said}: {plain(ratio)} times as good as the default's {plain(start.values[0])}."
