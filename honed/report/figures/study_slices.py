"""The objective over two settings at a time: the best that was found with each pair of values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from honed.knob import Value
from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.grid import Cell, Grid, Heat, Surface
from honed.report.study import StudyFacts, Tried, setting_word, value_word
from honed.show.numbers import plain

ORDER = 6
_MOST = 4  # each may take one of the few canvases in space that a browser has
_FEWEST_CELLS = 4
_LEAST_FILLED = 0.4
_HEADS = ("backend", "precision")


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None:
        return
    for one, other in _pairs(study):
        yield _picture(evidence, study, one, other)


def _pairs(study: StudyFacts) -> list[tuple[str, str]]:
    """Those with enough cells filled: engines x precisions, then numbers, then what mattered."""
    found = []
    for one, other in itertools.combinations(study.axes, 2):
        columns, rows = (_values(study, k) for k in (one, other))
        if len(columns) < 2 or len(rows) < 2:
            continue
        own = {(s.point[one], s.point[other]) for s in study.spots
               if one in s.point and other in s.point}  # fmt: skip
        if len(own) < max(_FEWEST_CELLS, _LEAST_FILLED * len(columns) * len(rows)):
            continue
        numbers = all(isinstance(v, int | float | None) for v in (*columns, *rows))
        heads = {one, other} == set(_HEADS)
        weight = study.importances.get(one, 0.0) + study.importances.get(other, 0.0)
        found.append(((heads, numbers, weight, len(own)), (one, other)))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [pair for _, pair in found[:_MOST]]


def _values(study: StudyFacts, key: str) -> list[Value | None]:
    seen = {t.point[key] for t in study.ended if key in t.point}
    return [v for v in study.axes[key] if v in seen]


def _picture(evidence: Evidence, study: StudyFacts, one: str, other: str) -> Picture:
    goal = study.goals[0]
    columns, rows = _values(study, one), _values(study, other)
    spots = [s for s in study.spots if one in s.point and other in s.point]
    cells: dict[tuple[int, int], Cell] = {}
    for i, j in itertools.product(range(len(columns)), range(len(rows))):
        own = [s for s in spots if (s.point[one], s.point[other]) == (columns[i], rows[j])]
        top = _study.best(own, 0, goal)
        if top is not None:
            cells[i, j] = Cell(top.values[0], _study.spot_text(top, study.goals))
        elif tried := _tried(study, {one: columns[i], other: rows[j]}):
            cells[i, j] = Cell(None, _study.trial_text(tried[0], study.goals))
    words = tuple(map(value_word, columns)), tuple(map(value_word, rows))
    grid = Grid((one, words[0]), (other, words[1]), cells, goal.better == "less")
    numbers = all(isinstance(v, int | float | None) for v in (*columns, *rows))
    solid = numbers and Surface.is_drawable(grid)
    return Picture(
        titled(f"Two settings at a time, {_said(one)} by {_said(other)}", study.name),
        _sentence(study, grid, (columns, rows)),
        (Heat(goal.title, grid),),
        _study.records_of(evidence, spots),
        ("A cell: the best that was found with both values, whatever the other settings are; "
         "blank: not tried; a cross: no result, or over a limit. Deep colours are good, in "
         "logarithmic steps.",),
        (Surface(f"{goal.title}, in space", grid, goal.unit),) if solid else (),
        marked=False,
    )  # fmt: skip


def _tried(study: StudyFacts, values: dict[str, Value | None]) -> list[Tried]:
    return [
        t for t in study.ended
        if all(key in t.point and t.point[key] == v for key, v in values.items())
    ]  # fmt: skip


def _said(key: str) -> str:
    """An engine's knob as one types it."""
    return key if "." in key else key.replace("_", " ")


def _sentence(
    study: StudyFacts, grid: Grid, values: tuple[Sequence[Value | None], Sequence[Value | None]]
) -> str:
    goal = study.goals[0]
    known = {at: c.value for at, c in grid.cells.items() if c.value is not None}
    total = len(values[0]) * len(values[1])
    if not known:
        return f"None of {total} pairs keeps every limit."

    def place(at: tuple[int, int]) -> str:
        keys = (grid.x[0], grid.y[0])
        picked = (values[0][at[0]], values[1][at[1]])
        return " and ".join(map(setting_word, keys, picked))

    ordered = sorted(known, key=lambda at: known[at], reverse=goal.better == "more")
    best, worst = ordered[0], ordered[-1]
    said = f"Best with {place(best)}, {_study.value(goal, known[best])}"
    if known[worst] != known[best]:
        said += f"; least with {place(worst)}, {plain(known[worst])}"
    return f"{said}; {len(known)} of {total} pairs gave a result."
