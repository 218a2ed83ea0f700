"""Lines over an axis of numbers, with intervals: or, not joined, a cloud of points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honed.report.evidence import Point
from honed.report.panels.base import Legend, escaped, hover
from honed.report.panels.ticks import scale, ticks, wide
from honed.report.style import INK, MUTED, PAPER, Style, axis, bare, layout


@dataclass(frozen=True, slots=True)
class Series:
    """One line; its points by x."""

    label: str
    style: Style
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line that the points are held against."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Lines:
    """`scale` turns values into `unit`. Axes are logarithmic where the values span much."""

    name: str
    x_title: str
    series: tuple[Series, ...]
    unit: str = ""
    scale: float = 1.0
    levels: tuple[Level, ...] = ()
    joined: bool = True
    from_zero: bool = True
    height_in: float = 3.0

    @property
    def title(self) -> str:
        return f"{self.name}{', logarithmic' if wide(self._ys()) else ''}"

    def legend(self) -> Legend:
        return [(s.label, s.style) for s in self.series]

    def plotly(self) -> dict[str, Any]:
        x = axis(self.x_title) | self._ticks("x", self._xs())
        y = axis() | self._ticks("y", self._ys())
        shapes = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at.value * self.scale,
             "y1": at.value * self.scale, "line": {"color": MUTED, "width": 1.5, "dash": "dash"}}
            for at in self.levels
        ]  # fmt: skip
        notes = [
            {"xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom", "showarrow": False,
             "y": self._at(at.value * self.scale), "text": escaped(at.label),
             "font": {"size": 11, "color": MUTED}}
            for at in self.levels
        ]  # fmt: skip
        return {
            "data": [self._trace(s) for s in self.series],
            "layout": layout(300, xaxis=x, yaxis=y, shapes=shapes, annotations=notes),
        }

    def draw(self, axes: Any) -> None:
        for one in self.series:
            xs = [p.x for p in one.points]
            ys = [p.value * self.scale for p in one.points]
            if self.joined:
                axes.plot(xs, ys, color=one.style.colour, linestyle=one.style.line, linewidth=1.4)
            for p in one.points:
                axes.errorbar(
                    p.x, p.value * self.scale, yerr=[[e] for e in self._errors(p)],
                    marker="x" if p.status == "diverged" else one.style.marker, markersize=5,
                    markerfacecolor=one.style.colour if p.ok else PAPER, capsize=2,
                    color=one.style.colour, elinewidth=0.9,
                )  # fmt: skip
        for at in self.levels:
            axes.axhline(at.value * self.scale, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate(at.label, (1, at.value * self.scale), (0, 2), fontsize=7, color=MUTED,
                          xycoords=("axes fraction", "data"), textcoords="offset points",
                          ha="right")  # fmt: skip
        bare(axes)
        self._scales(axes)
        axes.set_xlabel(self.x_title, fontsize=8, color=MUTED)
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _scales(self, axes: Any) -> None:
        for name, values in (("x", self._xs()), ("y", self._ys())):
            scale(axes, name, self._ticks(name, values))

    def _ticks(self, name: str, values: Sequence[float]) -> dict[str, Any]:
        own = name == "x" and self.joined
        return ticks(values, own=own, from_zero=name == "y" and self.from_zero)

    def _trace(self, one: Series) -> dict[str, Any]:
        errors = [self._errors(p) for p in one.points]
        return {
            "type": "scatter",
            "mode": "lines+markers" if self.joined else "markers",
            "x": [p.x for p in one.points],
            "y": [p.value * self.scale for p in one.points],
            "error_y": {
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
                "arrayminus": [low for low, _ in errors], "array": [high for _, high in errors],
            },
            "marker": {"color": one.style.colour, "size": 9, "opacity": 1,
                       "symbol": [one.style.symbol(p.status) for p in one.points],
                       "line": {"width": 2, "color": one.style.colour}},
            "line": {"color": one.style.colour, "dash": one.style.dash, "width": 2},
            "hoverinfo": "text",
            "text": [hover(one.label, p, self.scale, self.unit) for p in one.points],
            "meta": one.label,
        }  # fmt: skip

    def _errors(self, point: Point) -> tuple[float, float]:
        return (
            max(0.0, point.value - point.low) * self.scale,
            max(0.0, point.high - point.value) * self.scale,
        )

    def _xs(self) -> list[float]:
        return sorted({p.x for s in self.series for p in s.points})

    def _ys(self) -> list[float]:
        ends = [(p.low, p.high) for s in self.series for p in s.points]
        known = [end * self.scale for both in ends for end in both]
        return sorted({*known, *(at.value * self.scale for at in self.levels)})

    def _at(self, value: float) -> float:
        """Plotly's annotations on a logarithmic axis are placed by the exponent."""
        return math.log10(value) if wide(self._ys()) else value
