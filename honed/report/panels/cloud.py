"""A cloud of dots on two axes of numbers, lines through some of them, failures along the foot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.report.panels.base import Legend
from honed.report.panels.ticks import scale, ticks, wide
from honed.report.style import CROSS, INK, MUTED, PAPER, Style, axis, bare, layout

FAILED = "no result"
_FAILED_STYLE = Style(6, CROSS)


@dataclass(frozen=True, slots=True)
class Dot:
    """`text` is what the pointer reads, escaped; hollow: it may not be chosen."""

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
    """A line from point to point; in steps where the value holds until the next one."""

    label: str
    style: Style
    points: tuple[tuple[float, float], ...]
    steps: bool = True


@dataclass(frozen=True, slots=True)
class Cloud:
    """`failed`: the x of what has no y, and what the pointer reads there. An axis is logarithmic
    where its values span much."""

    name: str
    x_title: str
    groups: tuple[Group, ...]
    trails: tuple[Trail, ...] = ()
    failed: tuple[tuple[float, str], ...] = ()
    whole_x: bool = False  # x counts something: never logarithmic
    height_in: float = 3.0

    @property
    def title(self) -> str:
        return f"{self.name}{', logarithmic' if wide(self._ys()) else ''}"

    def legend(self) -> Legend:
        found = [(g.label, g.style) for g in self.groups if g.dots]
        found += [(t.label, t.style) for t in self.trails]
        return [*found, *([(FAILED, _FAILED_STYLE)] if self.failed else [])]

    def plotly(self) -> dict[str, Any]:
        x, y = self._axes()
        traces = [self._line(t) for t in self.trails] + [_dots(g) for g in self.groups if g.dots]
        if self.failed:
            traces.append({
                "type": "scatter", "mode": "markers", "x": [at for at, _ in self.failed],
                "y": [self._foot()] * len(self.failed), "hoverinfo": "text",
                "text": [text for _, text in self.failed], "meta": FAILED, "cliponaxis": False,
                "marker": {"symbol": "x-thin", "size": 8,
                           "line": {"width": 2, "color": _FAILED_STYLE.colour}},
            })  # fmt: skip
        return {
            "data": traces,
            "layout": layout(320, xaxis=axis(self.x_title) | x, yaxis=axis() | y),
        }

    def draw(self, axes: Any) -> None:
        for trail in self.trails:
            xs, ys = zip(*trail.points, strict=True)
            axes.plot(xs, ys, color=trail.style.colour, linestyle=trail.style.line, linewidth=1.4,
                      drawstyle="steps-post" if trail.steps else "default")  # fmt: skip
        for group in self.groups:
            for dot in group.dots:
                axes.plot(
                    dot.x, dot.y, linestyle="", marker=group.style.marker, markersize=5,
                    color=group.style.colour,
                    markerfacecolor=PAPER if dot.hollow else group.style.colour,
                )  # fmt: skip
        bare(axes)
        for name, asked in zip("xy", self._axes(), strict=True):
            scale(axes, name, asked)
        for at, _ in self.failed:
            axes.plot(at, self._foot(), "x", color=_FAILED_STYLE.colour, clip_on=False)
        axes.set_xlabel(self.x_title, fontsize=8, color=MUTED)
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _line(self, trail: Trail) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _ in trail.points],
            "y": [y for _, y in trail.points],
            "line": {"color": trail.style.colour, "width": 2, "dash": trail.style.dash,
                     "shape": "hv" if trail.steps else "linear"},
            "hoverinfo": "skip",
            "meta": trail.label,
        }  # fmt: skip

    def _axes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        xs = self._xs()
        if self.whole_x:
            room = 0.03 * max(1.0, xs[-1] - xs[0])
            x: dict[str, Any] = {"range": [xs[0] - room, xs[-1] + room]}
        else:
            x = ticks(xs)
        return x, ticks(self._ys())

    def _foot(self) -> float:
        """Just inside where the axis begins: Plotly draws nothing that is rounded out of it."""
        asked = ticks(self._ys())
        low, high = map(float, asked.get("range", (0.0, 1.0)))
        low += 0.02 * (high - low)
        return 10**low if asked.get("type") == "log" else low

    def _xs(self) -> list[float]:
        dots = (d.x for g in self.groups for d in g.dots)
        return sorted({*dots, *(at for at, _ in self.failed)})

    def _ys(self) -> list[float]:
        return sorted({d.y for g in self.groups for d in g.dots if math.isfinite(d.y)})


def _dots(group: Group) -> dict[str, Any]:
    symbols = [group.style.symbol("unproven" if d.hollow else "ok") for d in group.dots]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [d.x for d in group.dots],
        "y": [d.y for d in group.dots],
        "marker": {"color": group.style.colour, "size": 9, "symbol": symbols,
                   "line": {"width": 2, "color": group.style.colour}},
        "hoverinfo": "text",
        "text": [d.text for d in group.dots],
        "meta": group.label,
    }  # fmt: skip


def best_so_far(dots: Sequence[Dot], less: bool) -> tuple[tuple[float, float], ...]:
    """Steps over the dots that may be chosen, up to the last of all."""
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
