"""A value over two settings: a heat map, and on screens the same as a surface to turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.report.panels.base import Legend, escaped
from honed.report.style import GRID, INK, MUTED, PAPER, SCALE, axis, layout
from honed.show.numbers import plain

_CELL_PX, _PX_PER_IN = 40, 100
_WHITE_FROM = 0.8  # on the deepest colours the light ink is read best
_FAILED = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Cell:
    """`value` None: tried, without a result. `text` is what the pointer reads, escaped."""

    value: float | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """`x` and `y`: a key and its values as words. Cells by (column, row); a missing one was not
    tried. Colours go by the logarithm, the deepest for the best."""

    x: tuple[str, tuple[str, ...]]
    y: tuple[str, tuple[str, ...]]
    cells: Mapping[tuple[int, int], Cell]
    less: bool

    def shade(self, cell: Cell | None) -> float | None:
        """0 the worst, 1 the best."""
        if cell is None or cell.value is None:
            return None
        known = [
            math.log(max(c.value, 1e-300)) for c in self.cells.values() if c.value is not None
        ]
        low, high = min(known), max(known)
        at = (math.log(max(cell.value, 1e-300)) - low) / (high - low) if high > low else 1.0
        return 1 - at if self.less and high > low else at

    def shades(self) -> list[list[float | None]]:
        return [[self.shade(self.cells.get((i, j))) for i in range(len(self.x[1]))]
                for j in range(len(self.y[1]))]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heat:
    """Every cell with its number."""

    title: str
    grid: Grid

    @property
    def height_in(self) -> float:
        return 0.75 + 0.3 * len(self.grid.y[1])

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> dict[str, Any]:
        (across, columns), (up, rows) = self.grid.x, self.grid.y
        texts = [[self._hover(i, j) for i in range(len(columns))] for j in range(len(rows))]
        notes = [
            {"x": i, "y": j, "text": self._word(cell), "showarrow": False,
             "font": {"size": 12, "color": self._ink(cell)}}
            for (i, j), cell in self.grid.cells.items()
        ]  # fmt: skip
        trace = {
            "type": "heatmap", "z": self.grid.shades(), "zmin": 0, "zmax": 1, "xgap": 2, "ygap": 2,
            "colorscale": _colours(), "showscale": False, "hoverinfo": "text", "text": texts,
            "hoverongaps": False,
        }  # fmt: skip
        height = _CELL_PX * len(rows) + 70
        return {
            "data": [trace],
            "layout": layout(
                height,
                xaxis=axis(across, tickvals=list(range(len(columns))), showgrid=False,
                           ticktext=[escaped(c) for c in columns],
                           range=[-0.5, len(columns) - 0.5]),
                yaxis=axis(up, tickvals=list(range(len(rows))), showgrid=False,
                           ticktext=[escaped(r) for r in rows], range=[-0.5, len(rows) - 0.5]),
                annotations=notes,
            ),
        }  # fmt: skip

    def draw(self, axes: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        (across, columns), (up, rows) = self.grid.x, self.grid.y
        shades = [[math.nan if s is None else s for s in row] for row in self.grid.shades()]
        colours = LinearSegmentedColormap.from_list("honed", [c for c, _ in SCALE])
        axes.pcolormesh(range(len(columns)), range(len(rows)), shades, cmap=colours, vmin=0,
                        vmax=1, shading="nearest", edgecolors=PAPER, linewidth=2)  # fmt: skip
        for (i, j), cell in self.grid.cells.items():
            axes.annotate(self._word(cell), (i, j), ha="center", va="center", fontsize=7.5,
                          color=self._ink(cell))  # fmt: skip
        axes.spines[:].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8, length=0)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlabel(across, fontsize=8, color=MUTED)
        axes.set_ylabel(up, fontsize=8, color=MUTED)
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _word(self, cell: Cell) -> str:
        return _FAILED if cell.value is None else plain(cell.value)

    def _ink(self, cell: Cell) -> str:
        shade = self.grid.shade(cell)
        return PAPER if shade is not None and shade > _WHITE_FROM else INK

    def _hover(self, column: int, row: int) -> str:
        cell = self.grid.cells.get((column, row))
        return cell.text if cell else ""


@dataclass(frozen=True, slots=True)
class Surface:
    """The grid in space, for screens only: the pointer turns it."""

    title: str
    grid: Grid
    unit: str

    def plotly(self) -> dict[str, Any]:
        (across, columns), (up, rows) = self.grid.x, self.grid.y
        cells = self.grid.cells
        heights = [
            [c.value if (c := cells.get((i, j))) else None for i in range(len(columns))]
            for j in range(len(rows))
        ]
        known = [(i, j, c) for (i, j), c in cells.items() if c.value is not None]
        surface = {
            "type": "surface", "z": heights, "surfacecolor": self.grid.shades(), "cmin": 0,
            "cmax": 1, "colorscale": _colours(), "showscale": False, "hoverinfo": "skip",
            "lighting": {"ambient": 0.85, "diffuse": 0.3, "specular": 0.05},
        }  # fmt: skip
        dots = {
            "type": "scatter3d", "mode": "markers", "x": [i for i, _, _ in known],
            "y": [j for _, j, _ in known], "z": [c.value for _, _, c in known],
            "marker": {"size": 4, "color": INK}, "hoverinfo": "text",
            "text": [c.text for _, _, c in known],
        }  # fmt: skip
        scene = {
            "xaxis": _solid_axis(across, columns),
            "yaxis": _solid_axis(up, rows),
            "zaxis": _solid_axis(self.unit, ()) | {"rangemode": "tozero"},
            "camera": {"eye": {"x": -1.75, "y": -1.75, "z": 1.0}},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.15, "y": 1.15, "z": 0.75},
            "dragmode": "turntable",
        }
        return {
            "data": [surface, dots],
            "layout": layout(360, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0}),
        }

    @staticmethod
    def is_drawable(grid: Grid) -> bool:
        """Whether there is anything to span."""
        return any(
            all((c := grid.cells.get((i + a, j + b))) and c.value is not None
                for a in (0, 1) for b in (0, 1))
            for i, j in grid.cells
        )  # fmt: skip


def _solid_axis(title: str, values: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": {"text": title, "font": {"size": 12, "color": MUTED}},
        "gridcolor": GRID, "linecolor": MUTED, "zerolinecolor": GRID, "color": INK,
        "showbackground": False, "showspikes": False, "tickfont": {"size": 11},
    }  # fmt: skip
    if values:
        found |= {"tickvals": list(range(len(values))), "ticktext": [escaped(v) for v in values]}
    return found


def _colours() -> list[list[Any]]:
    last = len(SCALE) - 1
    return [[i / last, light] for i, (light, _) in enumerate(SCALE)]
