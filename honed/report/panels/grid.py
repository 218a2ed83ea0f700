"""A value over two settings: a heat map, and on screens the same as a surface that turns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.report.browser import escaped, figure, objects
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress
from honed.report.style import INK, MUTED, PAPER, SCALE
from honed.show.numbers import plain

_CELL_PX = 40
_WHITE_FROM = 0.8  # from this shade on, white text is easier to read than ink
_FAILED = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Cell:
    """`value` None: tried without a result. `text`: shown beside the pointer, escaped."""

    value: float | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """`x` and `y`: a key and its values as words. Cells by (column, row); a missing cell was not
    tried. `less`: a smaller value is better."""

    x: tuple[str, tuple[str, ...]]
    y: tuple[str, tuple[str, ...]]
    cells: Mapping[tuple[int, int], Cell]
    less: bool

    def shade(self, cell: Cell) -> float | None:
        """The place of a value between the worst (0) and the best (1), by its logarithm."""
        if cell.value is None:
            return None
        values = [c.value for c in self.cells.values() if c.value is not None]
        low, high, at = (
            math.log(max(value, 1e-300)) for value in (min(values), max(values), cell.value)
        )
        if high == low:
            return 1.0
        share = (at - low) / (high - low)
        return 1 - share if self.less else share

    def rows(self) -> list[list[Cell]]:
        """The cells row by row; those that were not tried are empty."""
        return [[self.cells.get((i, j), Cell(None)) for i in range(len(self.x[1]))]
                for j in range(len(self.y[1]))]  # fmt: skip

    def shades(self) -> list[list[float | None]]:
        return [[self.shade(cell) for cell in row] for row in self.rows()]


@dataclass(frozen=True, slots=True)
class Heat:
    """Every cell with its number."""

    title: str
    grid: Grid

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.75 + 0.3 * len(self.grid.y[1])

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> Figure:
        (across, columns), (up, rows) = self.grid.x, self.grid.y
        texts = [[cell.text for cell in row] for row in self.grid.rows()]
        return figure(
            [objects().Heatmap(z=self.grid.shades(), text=texts)], _CELL_PX * len(rows) + 70,
            xaxis={**_named_axis(across, columns), "range": [-0.5, len(columns) - 0.5],
                   "showgrid": False},
            yaxis={**_named_axis(up, rows), "range": [-0.5, len(rows) - 0.5], "showgrid": False},
            annotations=[
                {"x": i, "y": j, "text": _word(cell), "font": {"color": self._ink(cell)}}
                for (i, j), cell in self.grid.cells.items()
            ],
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        (across, columns), (up, rows) = self.grid.x, self.grid.y
        shades = [[math.nan if s is None else s for s in row] for row in self.grid.shades()]
        colours = LinearSegmentedColormap.from_list("honed", [light for light, _ in SCALE])
        dress(axes, self.title, across)
        axes.set_ylabel(up, fontsize=8, color=MUTED)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.pcolormesh(range(len(columns)), range(len(rows)), shades, cmap=colours, vmin=0,
                        vmax=1, shading="nearest", edgecolors=PAPER, linewidth=2)  # fmt: skip
        for (i, j), cell in self.grid.cells.items():
            axes.annotate(_word(cell), (i, j), ha="center", va="center", fontsize=7.5,
                          color=self._ink(cell))  # fmt: skip
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)

    def _ink(self, cell: Cell) -> str:
        shade = self.grid.shade(cell)
        return PAPER if shade is not None and shade > _WHITE_FROM else INK


@dataclass(frozen=True, slots=True)
class Surface:
    """The grid in space, which the pointer turns. On screens only."""

    title: str
    grid: Grid
    unit: str

    def plotly(self) -> Figure:
        known = [(*at, c) for at, c in self.grid.cells.items() if c.value is not None]
        heights = [[cell.value for cell in row] for row in self.grid.rows()]
        surface = objects().Surface(z=heights, surfacecolor=self.grid.shades())
        dots = objects().Scatter3d(
            x=[i for i, _, _ in known], y=[j for _, j, _ in known],
            z=[c.value for _, _, c in known], text=[c.text for _, _, c in known],
        )  # fmt: skip
        scene = {
            "xaxis": _named_axis(*self.grid.x),
            "yaxis": _named_axis(*self.grid.y),
            "zaxis": {"title": {"text": self.unit}, "rangemode": "tozero"},
            "camera": {"eye": {"x": -1.75, "y": -1.75, "z": 1.0}},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.15, "y": 1.15, "z": 0.75},
            "dragmode": "turntable",
        }
        return figure([surface, dots], 360, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0})

    @staticmethod
    def is_drawable(grid: Grid) -> bool:
        """Whether four neighbours have values, so that there is a face to draw."""
        values = grid.cells
        return any(
            all((c := values.get((i + a, j + b))) and c.value is not None
                for a in (0, 1) for b in (0, 1))
            for i, j in values
        )  # fmt: skip


def _named_axis(key: str, values: tuple[str, ...]) -> dict[str, Any]:
    """An axis with a word at each whole number."""
    return {
        "title": {"text": key}, "tickvals": list(range(len(values))),
        "ticktext": [escaped(v) for v in values],
    }  # fmt: skip


def _word(cell: Cell) -> str:
    return _FAILED if cell.value is None else plain(cell.value)
