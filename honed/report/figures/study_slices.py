"""The objective over two settings at a time: the best result with each pair of values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from honed.knob import Value
from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.panels.grid import Cell, Grid, Heat, Surface
from honed.show.numbers import plain
from honed.study import Candidate, StudyFacts, Trial

ORDER = 6
_MOST = 4  # each may take one of the few WebGL canvases that a browser has
_FEWEST_CELLS = 4
_LEAST_FILLED = 0.4
Values = Mapping[str, Value | None]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Search:
    """Trials and candidates, each with the value of every key that its engine has; and the values
    of each key that were tried, in the axis's order. None: untouched."""

    study: StudyFacts
    candidates: Sequence[tuple[Candidate, Values]]
    trials: Sequence[tuple[Trial, Values]]
    tried: Mapping[str, Sequence[Value | None]]

    def pairs(self) -> list[Pair]:
        """Pairs with enough cells filled: engine by precision, then numbers, then importance."""
        weights = {}
        for x, y in itertools.combinations((k for k, v in self.tried.items() if len(v) > 1), 2):
            filled = len({(v[x], v[y]) for _, v in self.candidates if x in v and y in v})
            cells = len(self.tried[x]) * len(self.tried[y])
            if filled < max(_FEWEST_CELLS, _LEAST_FILLED * cells):
                continue
            importances = self.study.importances
            importance = importances.get(x, 0.0) + importances.get(y, 0.0)
            numbers = self.are_numbers((x, y))
            weights[x, y] = ({x, y} == {"backend", "precision"}, numbers, importance, filled)
        return sorted(weights, key=lambda pair: weights[pair], reverse=True)[:_MOST]

    def are_numbers(self, pair: Pair) -> bool:
        return all(isinstance(v, int | float | None) for key in pair for v in self.tried[key])

    def cell(self, wanted: Values) -> Cell | None:
        """The best candidate with the values; without one, a trial that shows why."""
        goals = self.study.goals
        having = [c for c, v in self.candidates if _has(v, wanted)]
        if best := _study.best(having, goals[0]):
            return Cell(best.values[0], _study.candidate_hover(best, goals))
        for trial, values in self.trials:
            if _has(values, wanted):
                return Cell(None, _study.trial_hover(trial, goals))
        return None


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None:
        return
    trials = [(t, study.whole(t.setting)) for t in study.ended]
    tried = {
        key: [v for v in axis.values if any(_has(values, {key: v}) for _, values in trials)]
        for key, axis in study.axes.items()
    }
    candidates = [(c, study.whole(c.setting)) for c in study.candidates]
    search = _Search(study, candidates, trials, tried)
    for pair in search.pairs():
        yield _picture(evidence, search, pair)


def _picture(evidence: Evidence, search: _Search, pair: Pair) -> Picture:
    (x, y), goal = pair, search.study.goals[0]
    columns, rows = search.tried[x], search.tried[y]
    cells = {
        (i, j): cell
        for (i, column), (j, row) in itertools.product(enumerate(columns), enumerate(rows))
        if (cell := search.cell({x: column, y: row})) is not None
    }
    words = [tuple(map(_study.value_text, values)) for values in (columns, rows)]
    grid = Grid((x, words[0]), (y, words[1]), cells, goal.better == "less")
    solid = search.are_numbers(pair) and Surface.is_drawable(grid)
    heading = f"Two settings at a time, {_named(x)} by {_named(y)}"
    return Picture(
        titled(heading, search.study.name),
        _sentence(search, grid, pair),
        (Heat(goal.title, grid),),
        _study.records_of(evidence, [c for c, v in search.candidates if x in v and y in v]),
        ("A cell: the best result with both values, whatever the other settings are; blank: not "
         "tried; a cross: no result, or over a limit. Deep colours are good, in logarithmic "
         "steps.",),
        (Surface(f"{goal.title}, in space", grid, goal.unit),) if solid else (),
        marked=False,
    )  # fmt: skip


def _has(values: Values, wanted: Values) -> bool:
    return all(key in values and values[key] == v for key, v in wanted.items())


def _named(key: str) -> str:
    """A field of the Case in words; the knob of an engine as one types it."""
    return key if "." in key else key.replace("_", " ")


def _sentence(search: _Search, grid: Grid, pair: Pair) -> str:
    goal = search.study.goals[0]
    columns, rows = (search.tried[key] for key in pair)
    results = {at: c.value for at, c in grid.cells.items() if c.value is not None}
    total = len(columns) * len(rows)
    if not results:
        return f"None of {total} pairs keeps every limit."

    def place(at: tuple[int, int]) -> str:
        return " and ".join(map(_study.setting_text, pair, (columns[at[0]], rows[at[1]])))

    ordered = sorted(results, key=lambda at: results[at], reverse=goal.better == "more")
    best, worst = ordered[0], ordered[-1]
    finding = f"Best with {place(best)}, {_study.goal_text(goal, results[best])}"
    if results[worst] != results[best]:
        finding += f"; least with {place(worst)}, {plain(results[worst])}"
    return f"{finding}; {len(results)} of {total} pairs gave a result."
