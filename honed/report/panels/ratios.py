"""Times better, a row each, with its interval and a line where nothing is gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.record import Interval
from honed.report.panels.base import Legend, escaped
from honed.report.style import INK, MUTED, PAPER, Style, axis, bare, layout

_ROW_PX, _LABEL_PX, _PX_PER_IN = 40, 19, 100


@dataclass(frozen=True, slots=True)
class Ratio:
    """`sure`: it is drawn filled."""

    label: str
    gain: Interval
    sure: bool

    @property
    def told(self) -> str:
        value, ends = self.gain.value, self.gain.ci95
        if value is None:
            return "not measured alone"
        return f"{value:.3g}x" + (f" ({ends[0]:.3g} to {ends[1]:.3g})" if ends else "")


@dataclass(frozen=True, slots=True)
class Ratios:
    title: str
    rows: tuple[Ratio, ...]

    @property
    def height_in(self) -> float:
        return 0.4 + 0.26 * len(self.rows)

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> dict[str, Any]:
        traces, notes = [], []
        for index, row in enumerate(self.rows):
            top = index * _ROW_PX
            for side, text in ((0, escaped(row.label)), (1, row.told)):
                notes.append({"xref": "paper", "x": side, "xanchor": "right" if side else "left",
                              "y": top + 1, "yanchor": "top", "text": text, "showarrow": False,
                              "borderpad": 0, "font": {"size": 12, "color": INK}})  # fmt: skip
            if row.gain.value is not None:
                traces.append(self._trace(row, top + _LABEL_PX + 9))
        height = len(self.rows) * _ROW_PX
        line = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": height,
                "line": {"color": MUTED, "width": 1.5, "dash": "dash"}}  # fmt: skip
        across = axis("times better with it", range=list(self._range()))
        down = {"range": [height, 0], "visible": False, "fixedrange": True}
        return {
            "data": traces,
            "layout": layout(height + 56, xaxis=across, yaxis=down, annotations=notes,
                             shapes=[line]),
        }  # fmt: skip

    def draw(self, axes: Any) -> None:
        colour = Style().colour
        for index, row in enumerate(self.rows):
            value = row.gain.value
            if value is not None:
                low, high = row.gain.ci95 or (value, value)
                axes.errorbar(
                    value, index, xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
                    marker="o", markersize=5, color=colour, capsize=3, elinewidth=1.1,
                    markerfacecolor=colour if row.sure else PAPER,
                )  # fmt: skip
            axes.annotate(row.told, (1, index), (-2, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", ha="right", va="center", fontsize=7,
                          color=INK)  # fmt: skip
        axes.axvline(1, color=MUTED, linewidth=1, linestyle="--")
        bare(axes)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(self.rows)), [r.label for r in self.rows], fontsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(self.rows) - 0.5, -0.5)
        low, high = self._range()
        axes.set_xlim(low, high + 0.5 * (high - low))  # room for the words at the right
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _trace(self, row: Ratio, middle: float) -> dict[str, Any]:
        style, value = Style(), row.gain.value
        low, high = row.gain.ci95 or (value, value)
        assert value is not None
        assert low is not None
        assert high is not None
        return {
            "type": "scatter",
            "mode": "markers",
            "x": [value],
            "y": [middle],
            "error_x": {"type": "data", "symmetric": False, "color": style.colour, "width": 5,
                        "thickness": 2, "arrayminus": [max(0.0, value - low)],
                        "array": [max(0.0, high - value)]},
            "marker": {"color": style.colour, "size": 10,
                       "symbol": style.symbol("ok" if row.sure else "unproven"),
                       "line": {"width": 2, "color": style.colour}},
            "hoverinfo": "text",
            "text": [f"<b>{escaped(row.label)}</b><br>{row.told}"],
            "meta": row.label,
        }  # fmt: skip

    def _range(self) -> tuple[float, float]:
        ends = [end for r in self.rows for end in (r.gain.ci95 or (r.gain.value,))]
        known = [1.0, *(e for e in ends if e is not None)]
        room = 0.06 * ((max(known) - min(known)) or 0.2)
        return min(known) - room, max(known) + room
