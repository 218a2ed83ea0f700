"""Gains, a row each: the ratio with its interval, and a line at 1 where nothing is gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.record import Interval
from honed.report.browser import LABEL_PX, escaped, figure, marks, objects, row_labels, rows_axis
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress_rows
from honed.report.style import INK, MUTED, PAPER, Style

_ROW_PX = 40


@dataclass(frozen=True, slots=True)
class Ratio:
    """`sure`: drawn filled."""

    label: str
    gain: Interval
    sure: bool

    @property
    def text(self) -> str:
        value, ends = self.gain.value, self.gain.ci95
        if value is None:
            return "not measured alone"
        return f"{value:.3g}x" + (f" ({ends[0]:.3g} to {ends[1]:.3g})" if ends else "")

    @property
    def measured(self) -> tuple[float, float, float] | None:
        """The value, and how far the interval reaches below and above it."""
        value = self.gain.value
        if value is None:
            return None
        low, high = self.gain.ci95 or (value, value)
        return value, max(0.0, value - low), max(0.0, high - value)


@dataclass(frozen=True, slots=True)
class Ratios:
    title: str
    rows: tuple[Ratio, ...]

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.4 + 0.26 * len(self.rows)

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> Figure:
        traces, labels = [], []
        for index, row in enumerate(self.rows):
            top = index * _ROW_PX
            labels += row_labels(top, row.label, row.text)
            if row.measured:
                traces.append(_trace(row, row.measured, top + LABEL_PX + 9))
        height = len(self.rows) * _ROW_PX
        drawn = figure(
            traces, height + 56, annotations=labels, yaxis=rows_axis(height),
            xaxis={"title": {"text": "times better with it"}, "range": self._range()},
        )  # fmt: skip
        drawn.add_vline(1, line={"color": MUTED, "width": 1.5, "dash": "dash"})
        return drawn

    def draw(self, axes: Any) -> None:
        colour = Style().colour
        for index, row in enumerate(self.rows):
            if row.measured:
                value, below, above = row.measured
                axes.errorbar(
                    value, index, xerr=[[below], [above]], marker="o", markersize=5, color=colour,
                    capsize=3, elinewidth=1.1, markerfacecolor=colour if row.sure else PAPER,
                )  # fmt: skip
            axes.annotate(row.text, (1, index), (-2, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", ha="right", va="center", fontsize=7,
                          color=INK)  # fmt: skip
        axes.axvline(1, color=MUTED, linewidth=1, linestyle="--")
        dress_rows(axes, self.title, range(len(self.rows)), [r.label for r in self.rows])
        axes.set_ylim(len(self.rows) - 0.5, -0.5)
        low, high = self._range()
        axes.set_xlim(low, high + 0.5 * (high - low))  # room for the text at the right

    def _range(self) -> tuple[float, float]:
        known = [1.0]
        for value, below, above in filter(None, (r.measured for r in self.rows)):
            known += [value - below, value + above]
        room = 0.06 * ((max(known) - min(known)) or 0.2)
        return min(known) - room, max(known) + room


def _trace(row: Ratio, measured: tuple[float, float, float], middle: float) -> Any:
    style, (value, below, above) = Style(), measured
    return objects().Scatter(
        mode="markers", x=[value], y=[middle],
        error_x={"color": style.colour, "width": 5, "thickness": 2, "arrayminus": [below],
                 "array": [above]},
        marker={**marks(style.colour, style.symbol("ok" if row.sure else "unproven")), "size": 10},
        text=[f"<b>{escaped(row.label)}</b><br>{row.text}"], meta=row.label,
    )  # fmt: skip
