"""Dots on two axes of numbers, lines through some of them, failed trials along the foot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.report.browser import figure, marks, objects
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.panels.ticks import Scale, scale_for
from honed.report.paper import dress
from honed.report.style import CROSS, PAPER, Style

FAILED = "no result"
_FAILED_STYLE = Style(6, CROSS)


@dataclass(frozen=True, slots=True)
class Dot:
    """`text`: what is shown beside the pointer, escaped. `hollow`: it must not be chosen."""

    x: float
    y: float
    text: str = field(repr=False, default="")
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    style: Style
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """A line from point to point; in steps where a value holds until the next point."""

    label: str
    style: Style
    points: tuple[tuple[float, float], ...]
    steps: bool = True


@dataclass(frozen=True, slots=True)
class Cloud:
    """`failed`: the x and the pointer's text of what has no y. An axis is logarithmic where its
    values span much."""

    name: str
    x_title: str
    groups: tuple[Group, ...]
    trails: tuple[Trail, ...] = ()
    failed: tuple[tuple[float, str], ...] = ()
    whole_x: bool = False  # x counts something: never logarithmic
    trails_in_view: bool = False  # the axes reach over the lines too, not over the dots alone

    @property
    def title(self) -> str:
        return f"{self.name}{', logarithmic' if self._y_scale().log else ''}"

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 3.0

    def legend(self) -> Legend:
        entries = [(g.label, g.style) for g in self.groups if g.dots]
        entries += [(t.label, t.style) for t in self.trails]
        return [*entries, *([(FAILED, _FAILED_STYLE)] if self.failed else [])]

    def plotly(self) -> Figure:
        scatter = objects().Scatter
        traces = []
        for trail in self.trails:
            xs, ys = zip(*trail.points, strict=True)
            line = {"color": trail.style.colour, "dash": trail.style.dash,
                    "shape": "hv" if trail.steps else "linear"}  # fmt: skip
            traces.append(scatter(mode="lines", x=xs, y=ys, line=line, hoverinfo="skip",
                                  meta=trail.label))  # fmt: skip
        for group in self.groups:
            symbols = [group.style.symbol("unproven" if d.hollow else "ok") for d in group.dots]
            if group.dots:
                traces.append(scatter(
                    mode="markers", x=[d.x for d in group.dots], y=[d.y for d in group.dots],
                    marker=marks(group.style.colour, symbols), text=[d.text for d in group.dots],
                    meta=group.label,
                ))  # fmt: skip
        if self.failed:
            xs, texts = zip(*self.failed, strict=True)
            crosses = {**marks(_FAILED_STYLE.colour, _FAILED_STYLE.symbol()), "size": 8}
            traces.append(scatter(mode="markers", x=xs, y=[self._foot()] * len(xs),
                                  marker=crosses, text=texts, meta=FAILED,
                                  cliponaxis=False))  # fmt: skip
        return figure(
            traces, 320, xaxis={**self._x_scale().plotly(), "title": {"text": self.x_title}},
            yaxis=self._y_scale().plotly(),
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        for trail in self.trails:
            xs, ys = zip(*trail.points, strict=True)
            axes.plot(xs, ys, color=trail.style.colour, linestyle=trail.style.line, linewidth=1.4,
                      drawstyle="steps-post" if trail.steps else "default")  # fmt: skip
        for group in self.groups:
            colour = group.style.colour
            for dot in group.dots:
                axes.plot(
                    dot.x, dot.y, linestyle="", marker=group.style.marker, markersize=5,
                    color=colour, markerfacecolor=PAPER if dot.hollow else colour,
                )  # fmt: skip
        dress(axes, self.title, self.x_title)
        self._x_scale().apply(axes, "x")
        self._y_scale().apply(axes, "y")
        for x, _ in self.failed:
            axes.plot(x, self._foot(), "x", color=_FAILED_STYLE.colour, clip_on=False)

    def _x_scale(self) -> Scale:
        dots = (d.x for g in self.groups for d in g.dots)
        xs = sorted({*dots, *(x for x, _ in self.failed), *(x for x, _ in self._in_view())})
        if not self.whole_x:
            return scale_for(xs)
        room = 0.03 * max(1.0, xs[-1] - xs[0])
        return Scale(xs[0] - room, xs[-1] + room)

    def _y_scale(self) -> Scale:
        dots = (d.y for g in self.groups for d in g.dots if math.isfinite(d.y))
        return scale_for(sorted({*dots, *(y for _, y in self._in_view())}))

    def _in_view(self) -> list[tuple[float, float]]:
        """Points of lines that the axes have to reach."""
        if not self.trails_in_view:
            return []
        return [point for trail in self.trails for point in trail.points]

    def _foot(self) -> float:
        """Just inside the low end: Plotly draws nothing that rounding puts outside."""
        return self._y_scale().at(0.02)


def best_so_far(dots: Sequence[Dot], less: bool) -> tuple[tuple[float, float], ...]:
    """Steps over the dots that may be chosen, up to the last of all dots."""
    points: list[tuple[float, float]] = []
    for dot in sorted(dots, key=lambda d: d.x):
        if dot.hollow:
            continue
        if not points or (dot.y < points[-1][1] if less else dot.y > points[-1][1]):
            points.append((dot.x, dot.y))
    last = max((d.x for d in dots), default=0.0)
    if points and points[-1][0] < last:
        points.append((last, points[-1][1]))
    return tuple(points)
