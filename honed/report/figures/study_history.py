"""The search over time: every trial by its stage, the best so far, and the failed trials."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.cloud import Cloud, Dot, Group, Trail, best_so_far
from honed.report.style import Style
from honed.show.numbers import plain
from honed.study import StudyFacts

ORDER = 3
_TRAIL = Style(6, 0)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or sum(t.ok for t in study.ended) < 2:
        return
    over = any(t.ok and not t.feasible for t in study.ended)
    yield Picture(
        titled("The search", study.name),
        _sentence(study),
        tuple(_panel(study, i) for i in range(len(study.goals))),
        study.drawn(evidence.records),
        (f"{'Hollow: over a limit. ' if over else ''}A cross at the foot: no result. The line: "
         "the best so far that keeps every limit. A trial is short and a single process; the "
         "recommendation is measured again.",),
        marked=False,
    )  # fmt: skip


def _panel(study: StudyFacts, index: int) -> Cloud:
    goal = study.goals[index]
    groups = tuple(
        Group(stage, style, tuple(
            Dot(t.number, t.values[index], _study.trial_hover(t, study.goals), not t.feasible)
            for t in study.ended if t.stage == stage and t.ok
        ))
        for stage, style in _study.stages(study).items()
    )  # fmt: skip
    steps = best_so_far([d for g in groups for d in g.dots], goal.better == "less")
    dead = [t for t in study.ended if not t.ok]
    failed = tuple((float(t.number), _study.trial_hover(t, study.goals)) for t in dead)
    trails = (Trail("best so far", _TRAIL, steps),) if steps else ()
    return Cloud(goal.title, "trial", groups, trails, failed, whole_x=True)


def _sentence(study: StudyFacts) -> str:
    """What the search found for the first goal."""
    goal = study.goals[0]
    feasible = [t for t in study.ended if t.feasible]
    left = _study.left_out(study)
    trials = f"Of {len(study.ended)} trials{f' ({left})' if left else ''}"
    if not feasible:
        return f"{trials} none keeps every limit."
    value = goal.best([t.values[0] for t in feasible])
    best = next(t for t in feasible if t.values[0] == value)
    finding = f"{trials} the best for {goal.name} is trial {best.number} ({best.stage}), "
    finding += _study.goal_text(goal, value)
    default = next((t for t in study.ended if t.stage == "default" and t.ok), None)
    if default is None or default is best:
        return f"{finding}."
    start = default.values[0]
    ratio = value / start if goal.better == "more" else start / value
    return f"{finding}: {plain(ratio)} times as good as the default's {plain(start)}."
