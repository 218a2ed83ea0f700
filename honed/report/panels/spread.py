"""How calls spread: each of them a dot, the middle half a bar, the median and the tail marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honed.report.panels.base import Legend, escaped
from honed.report.style import GRID, INK, Style, axis, bare, layout
from honed.show.numbers import plain

MOST_DOTS = 240  # of one row; more of them only blacken it and make the page heavy
_ROW_PX, _LABEL_PX = 58, 19
_PX_PER_IN = 100


@dataclass(frozen=True, slots=True)
class Strip:
    """One setting's calls in seconds, thinned; `marks` are quantiles, None where unsupported."""

    label: str
    style: Style
    calls_s: tuple[float, ...]
    count: int
    quarter_s: tuple[float, float]
    p50_s: float
    p99_s: float | None


def thin(values: Sequence[float], most: int = MOST_DOTS) -> tuple[float, ...]:
    """Evenly spaced in rank: the least, the largest and the shape between are kept."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return tuple(ordered)
    step = (len(ordered) - 1) / (most - 1)
    return tuple(ordered[round(i * step)] for i in range(most))


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds from the left to the right, a row for each setting."""

    title: str
    strips: tuple[Strip, ...]

    @property
    def height_in(self) -> float:
        return 0.4 + len(self.strips) * _ROW_PX / _PX_PER_IN

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> dict[str, Any]:
        traces, shapes, notes = [], [], []
        for index, strip in enumerate(self.strips):
            top = index * _ROW_PX
            middle = top + _LABEL_PX + 15
            traces.append(self._dots(strip, middle))
            low, high = (s * 1e3 for s in strip.quarter_s)
            shapes.append({"type": "rect", "x0": low, "x1": high, "y0": middle - 11,
                           "y1": middle + 11, "fillcolor": strip.style.colour, "opacity": 0.25,
                           "line": {"width": 0}})  # fmt: skip
            shapes += [
                {"type": "line", "x0": at * 1e3, "x1": at * 1e3, "y0": middle - 12,
                 "y1": middle + 12, "line": {"color": INK, "width": 2, "dash": dash}}
                for at, dash in ((strip.p50_s, "solid"), (strip.p99_s, "dot")) if at is not None
            ]  # fmt: skip
            for side, text in ((0, escaped(strip.label)), (1, _told(strip))):
                notes.append({"xref": "paper", "x": side, "xanchor": "right" if side else "left",
                              "y": top + 1, "yanchor": "top", "text": text, "showarrow": False,
                              "borderpad": 0, "font": {"size": 12, "color": INK}})  # fmt: skip
        across = axis(gridcolor=GRID, range=list(self._range()))
        down = {"range": [len(self.strips) * _ROW_PX, 0], "visible": False, "fixedrange": True}
        return {
            "data": traces,
            "layout": layout(len(self.strips) * _ROW_PX + 48, xaxis=across, yaxis=down,
                             shapes=shapes, annotations=notes),
        }  # fmt: skip

    def draw(self, axes: Any) -> None:
        for index, strip in enumerate(self.strips):
            calls = [s * 1e3 for s in strip.calls_s]
            axes.scatter(calls, [index + y for y in _jitter(len(calls), 0.2)], s=4, alpha=0.5,
                         color=strip.style.colour, linewidths=0)  # fmt: skip
            low, high = (s * 1e3 for s in strip.quarter_s)
            axes.barh(index, high - low, 0.5, low, color=strip.style.colour, alpha=0.25)
            for at, line in ((strip.p50_s, "-"), (strip.p99_s, ":")):
                if at is not None:
                    axes.vlines(at * 1e3, index - 0.3, index + 0.3, color=INK, linestyle=line)
        bare(axes)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(self.strips)), [s.label for s in self.strips], fontsize=7.5)
        axes.set_ylim(len(self.strips) - 0.4, -0.6)
        axes.set_xlim(*self._range())
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _dots(self, strip: Strip, middle: float) -> dict[str, Any]:
        calls = [round(s * 1e3, 5) for s in strip.calls_s]
        return {
            "type": "scatter",
            "mode": "markers",
            "x": calls,
            "y": [round(middle + y, 1) for y in _jitter(len(calls), 9)],
            "marker": {"color": strip.style.colour, "size": 4, "opacity": 0.55},
            "hoverinfo": "x",
            "meta": strip.label,
        }

    def _range(self) -> tuple[float, float]:
        most = max(s.calls_s[-1] for s in self.strips) * 1e3
        return 0.0, most * 1.03


def _told(strip: Strip) -> str:
    return f"{plain(strip.p50_s * 1e3)} ms, {strip.count:,} calls"


def _jitter(count: int, reach: float) -> list[float]:
    """The same for the same number of dots, so that a report made twice is the same."""
    rng = random.Random(count)
    return [rng.uniform(-reach, reach) for _ in range(count)]
