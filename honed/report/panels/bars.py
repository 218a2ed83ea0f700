"""Rows of bars with their labels above them: room for long names on a narrow screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.report.evidence import Point
from honed.report.panels.base import Legend, escaped, hover, told
from honed.report.style import INK, MUTED, Style, axis, bare, layout

_BAR_PX, _LABEL_PX, _GAP_PX = 13, 19, 9
_PX_PER_IN = 100


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` names it in the legend where a row has several; its end tells its value otherwise."""

    kind: str
    style: Style
    point: Point


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """`scale` turns values into `unit`."""

    title: str
    rows: tuple[Row, ...]
    unit: str
    scale: float = 1.0

    @property
    def height_in(self) -> float:
        return 0.4 + sum(_beside_px(row) for row in self.rows) / _PX_PER_IN

    def legend(self) -> Legend:
        kinds = {b.kind: b.style for row in self.rows for b in row.bars}
        return list(kinds.items()) if self._grouped() else ()

    def plotly(self) -> dict[str, Any]:
        traces, notes, top = [], [], 0.0
        for row in self.rows:
            notes.append(_note(escaped(row.label), top, 0, INK))
            if not self._grouped():
                notes.append(_note(told(row.bars[0].point, self.scale, self.unit), top, 1, INK))
            for index, bar in enumerate(row.bars):
                middle = top + _LABEL_PX + (index + 0.5) * _BAR_PX
                traces.append(self._trace(row, bar, middle))
            top += self._row_px(row)
        across = axis(showgrid=True, rangemode="tozero", range=[0, self._most() * 1.03])
        down = {"range": [top, 0], "visible": False, "fixedrange": True}
        return {
            "data": traces,
            "layout": layout(round(top) + 48, xaxis=across, yaxis=down, annotations=notes,
                             barmode="overlay"),
        }  # fmt: skip

    def draw(self, axes: Any) -> None:
        top, middles = 0.0, []
        for row in self.rows:
            start = top + _GAP_PX / 2
            for index, bar in enumerate(row.bars):
                middle = start + (index + 0.5) * _BAR_PX
                self._draw(axes, bar, middle)
                if not self._grouped():
                    axes.annotate(told(bar.point, self.scale, self.unit),
                                  (bar.point.high * self.scale, middle), (4, 0), va="center",
                                  textcoords="offset points", fontsize=7, color=INK)  # fmt: skip
            middles.append(start + len(row.bars) * _BAR_PX / 2)
            top += _beside_px(row)
        bare(axes)
        axes.set_yticks(middles, [row.label for row in self.rows], fontsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(top, 0)
        axes.set_xlim(0, self._most() * (1.05 if self._grouped() else 1.35))
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _draw(self, axes: Any, bar: Bar, middle: float) -> None:
        point, doubtful = bar.point, not bar.point.ok
        value = point.value * self.scale
        axes.barh(
            middle, value, _BAR_PX * 0.84, color="none" if doubtful else bar.style.colour,
            edgecolor=bar.style.colour, hatch="////" if doubtful else None, linewidth=1,
        )  # fmt: skip
        if point.ends:
            error = [[max(0.0, value - point.low * self.scale)],
                     [max(0.0, point.high * self.scale - value)]]  # fmt: skip
            axes.errorbar(value, middle, xerr=error, color=INK, capsize=2, elinewidth=0.9)

    def _trace(self, row: Row, bar: Bar, middle: float) -> dict[str, Any]:
        point = bar.point
        fill: dict[str, Any] = {"color": bar.style.colour}
        if not point.ok:  # hatched: what is not proven, or not the same answer
            fill["pattern"] = {"shape": "/", "fillmode": "replace", "size": 6, "solidity": 0.35,
                               "fgcolor": bar.style.colour}  # fmt: skip
            fill["line"] = {"color": bar.style.colour, "width": 1}
        trace: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "x": [point.value * self.scale],
            "y": [middle],
            "width": [_BAR_PX * 0.84],
            "marker": fill,
            "hoverinfo": "text",
            "hovertext": [hover(f"{row.label}{_kind(bar)}", point, self.scale, self.unit)],
            "meta": bar.kind,
        }
        if point.ends:
            trace["error_x"] = {
                "type": "data", "symmetric": False, "color": INK, "thickness": 1.2, "width": 3,
                "arrayminus": [max(0.0, point.value - point.low) * self.scale],
                "array": [max(0.0, point.high - point.value) * self.scale],
            }  # fmt: skip
        return trace

    def _grouped(self) -> bool:
        return any(len(row.bars) > 1 for row in self.rows)

    def _row_px(self, row: Row) -> float:
        return _LABEL_PX + len(row.bars) * _BAR_PX + _GAP_PX

    def _most(self) -> float:
        return max(b.point.high * self.scale for row in self.rows for b in row.bars)


def _beside_px(row: Row) -> float:
    """Where the label stands beside the bars, as in the PNG."""
    return len(row.bars) * _BAR_PX + _GAP_PX


def _kind(bar: Bar) -> str:
    return f": {bar.kind}" if bar.kind else ""


def _note(text: str, top: float, side: int, colour: str) -> dict[str, Any]:
    """Words on the line above a bar: 0 at its beginning, 1 at the right border."""
    return {
        "xref": "paper", "x": side, "xanchor": "right" if side else "left", "y": top + 1,
        "yanchor": "top", "text": text, "showarrow": False, "borderpad": 0,
        "font": {"size": 12, "color": colour or MUTED},
    }  # fmt: skip
