"""Rows of bars. In the browser the labels stand above them, so that long names fit a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.report.browser import LABEL_PX, figure, objects, row_labels, rows_axis
from honed.report.evidence import Point
from honed.report.panels.base import PAGE_IN, Figure, Legend, errors, hover, value_text
from honed.report.paper import dress_rows
from honed.report.style import INK, Style

_BAR_PX, _GAP_PX = 13, 9
_PX_PER_IN = 100


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` names the bar in the legend where a row has several bars."""

    kind: str
    style: Style
    point: Point


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """A row with one bar has the value as text."""

    title: str
    rows: tuple[Row, ...]
    unit: str

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.4 + self._height_px(0) / _PX_PER_IN

    def legend(self) -> Legend:
        kinds = {b.kind: b.style for row in self.rows for b in row.bars}
        return list(kinds.items()) if self._is_grouped() else ()

    def plotly(self) -> Figure:
        traces, labels = [], []
        for row, top in self._tops(LABEL_PX):
            value = "" if self._is_grouped() else value_text(row.bars[0].point, self.unit)
            labels += row_labels(top, row.label, value)
            traces += [
                self._trace(row, bar, top + LABEL_PX + (index + 0.5) * _BAR_PX)
                for index, bar in enumerate(row.bars)
            ]
        height = self._height_px(LABEL_PX)
        return figure(
            traces, height + 48, xaxis={"range": [0, self._most() * 1.03]},
            yaxis=rows_axis(height), annotations=labels,
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        middles = []
        for row, top in self._tops(0):
            start = top + _GAP_PX / 2
            for index, bar in enumerate(row.bars):
                self._draw_bar(axes, bar, start + (index + 0.5) * _BAR_PX)
            middles.append(start + len(row.bars) * _BAR_PX / 2)
        dress_rows(axes, self.title, middles, [row.label for row in self.rows])
        axes.set_ylim(self._height_px(0), 0)
        axes.set_xlim(0, self._most() * (1.05 if self._is_grouped() else 1.35))

    def _draw_bar(self, axes: Any, bar: Bar, middle: float) -> None:
        point, colour = bar.point, bar.style.colour
        axes.barh(
            middle, point.value, _BAR_PX * 0.84, color=colour if point.ok else "none",
            edgecolor=colour, hatch=None if point.ok else "////", linewidth=1,
        )  # fmt: skip
        if point.ends:
            reach = [[end] for end in errors(point)]
            axes.errorbar(point.value, middle, xerr=reach, color=INK, capsize=2, elinewidth=0.9)
        if not self._is_grouped():
            axes.annotate(value_text(point, self.unit), (point.high, middle), (4, 0),
                          va="center", textcoords="offset points", fontsize=7,
                          color=INK)  # fmt: skip

    def _trace(self, row: Row, bar: Bar, middle: float) -> Any:
        point, colour = bar.point, bar.style.colour
        fill: dict[str, Any] = {"color": colour}
        if not point.ok:  # hatched: unproven or diverged
            fill["pattern"] = {"shape": "/", "fillmode": "replace", "size": 6, "solidity": 0.35,
                               "fgcolor": colour}  # fmt: skip
            fill["line"] = {"color": colour, "width": 1}
        below, above = errors(point)
        label = f"{row.label}: {bar.kind}" if bar.kind else row.label
        return objects().Bar(
            x=[point.value], y=[middle], width=[_BAR_PX * 0.84], marker=fill,
            error_x={"arrayminus": [below], "array": [above]} if point.ends else None,
            hovertext=[hover(label, point, self.unit)], meta=bar.kind,
        )  # fmt: skip

    def _is_grouped(self) -> bool:
        return any(len(row.bars) > 1 for row in self.rows)

    def _tops(self, label_px: int) -> Iterator[tuple[Row, float]]:
        """Each row and where it begins, when `label_px` are left for a label above its bars."""
        top = 0.0
        for row in self.rows:
            yield row, top
            top += label_px + len(row.bars) * _BAR_PX + _GAP_PX

    def _height_px(self, label_px: int) -> int:
        return sum(label_px + len(row.bars) * _BAR_PX + _GAP_PX for row in self.rows)

    def _most(self) -> float:
        return max(b.point.high for row in self.rows for b in row.bars)
