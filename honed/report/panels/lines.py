"""Lines over an axis of numbers, with intervals; or points alone, not joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.report.browser import escaped, figure, marks, objects
from honed.report.evidence import Point
from honed.report.panels.base import HALF_PAGE_IN, Figure, Legend, errors, hover
from honed.report.panels.ticks import Scale, scale_for
from honed.report.paper import dress
from honed.report.style import MUTED, PAPER, Style


@dataclass(frozen=True, slots=True)
class Series:
    """One line; its points by x."""

    label: str
    style: Style
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line to compare the points with."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Axes are logarithmic where the values span much."""

    name: str
    x_title: str
    series: tuple[Series, ...]
    unit: str = ""
    levels: tuple[Level, ...] = ()
    joined: bool = True
    from_zero: bool = True

    @property
    def title(self) -> str:
        return f"{self.name}{', logarithmic' if self._y_scale().log else ''}"

    @property
    def size_in(self) -> tuple[float, float]:
        return HALF_PAGE_IN, 3.0

    def legend(self) -> Legend:
        return [(s.label, s.style) for s in self.series]

    def plotly(self) -> Figure:
        drawn = figure(
            [self._trace(s) for s in self.series], 300,
            xaxis={**self._x_scale().plotly(), "title": {"text": self.x_title}},
            yaxis=self._y_scale().plotly(),
        )  # fmt: skip
        for level in self.levels:
            drawn.add_hline(level.value, line={"color": MUTED, "width": 1.5, "dash": "dash"})
            drawn.add_annotation(
                xref="paper", x=1, xanchor="right", y=self._y_scale().position(level.value),
                yanchor="bottom", text=escaped(level.label), font={"size": 11, "color": MUTED},
            )  # fmt: skip
        return drawn

    def draw(self, axes: Any) -> None:
        for series in self.series:
            colour = series.style.colour
            if self.joined:
                xs, ys = zip(*((p.x, p.value) for p in series.points), strict=True)
                axes.plot(xs, ys, color=colour, linestyle=series.style.line, linewidth=1.4)
            for p in series.points:
                axes.errorbar(
                    p.x, p.value, yerr=[[end] for end in errors(p)],
                    marker="x" if p.status == "diverged" else series.style.marker, markersize=5,
                    markerfacecolor=colour if p.ok else PAPER, capsize=2, color=colour,
                    elinewidth=0.9,
                )  # fmt: skip
        for level in self.levels:
            axes.axhline(level.value, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate(level.label, (1, level.value), (0, 2), fontsize=7,
                          color=MUTED, xycoords=("axes fraction", "data"),
                          textcoords="offset points", ha="right")  # fmt: skip
        dress(axes, self.title, self.x_title)
        self._x_scale().apply(axes, "x")
        self._y_scale().apply(axes, "y")

    def _trace(self, series: Series) -> Any:
        points, style = series.points, series.style
        below, above = zip(*(errors(p) for p in points), strict=True)
        return objects().Scatter(
            mode="lines+markers" if self.joined else "markers", x=[p.x for p in points],
            y=[p.value for p in points], error_y={"arrayminus": below, "array": above},
            marker=marks(style.colour, [style.symbol(p.status) for p in points]),
            line={"color": style.colour, "dash": style.dash},
            text=[hover(series.label, p, self.unit) for p in points], meta=series.label,
        )  # fmt: skip

    def _x_scale(self) -> Scale:
        values = sorted({p.x for s in self.series for p in s.points})
        return scale_for(values, tick_each=self.joined)

    def _y_scale(self) -> Scale:
        ends = {end for s in self.series for p in s.points for end in (p.low, p.high)}
        known = sorted(ends | {level.value for level in self.levels})
        return scale_for(known, from_zero=self.from_zero)
