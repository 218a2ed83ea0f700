"""How calls spread: each call a dot, the middle half a bar, the median and the tail marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honed.report.browser import LABEL_PX, figure, objects, row_labels, rows_axis
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress_rows
from honed.report.style import INK, Style
from honed.show.numbers import plain

MOST_DOTS = 240  # of one row; more dots only blacken it and make the page heavy
_ROW_PX = 58
_PX_PER_IN = 100


@dataclass(frozen=True, slots=True)
class Strip:
    """One setting's calls, thinned. `quarter_s`: the ends of the middle half of all calls."""

    label: str
    style: Style
    calls_s: tuple[float, ...]
    count: int
    quarter_s: tuple[float, float]
    p50_s: float
    p99_s: float | None  # None: too few calls support one

    @property
    def text(self) -> str:
        return f"{plain(self.p50_s * 1e3)} ms, {self.count:,} calls"


def thin(values: Sequence[float], most: int = MOST_DOTS) -> tuple[float, ...]:
    """Values evenly spaced in rank: the least, the largest and the shape between are kept."""
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
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.4 + len(self.strips) * _ROW_PX / _PX_PER_IN

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> Figure:
        height = len(self.strips) * _ROW_PX
        drawn = figure([], height + 48, xaxis={"range": self._range()}, yaxis=rows_axis(height))
        shapes, labels = [], []
        for index, strip in enumerate(self.strips):
            top = index * _ROW_PX
            middle = top + LABEL_PX + 15
            calls = [round(s * 1e3, 5) for s in strip.calls_s]
            drawn.add_trace(objects().Scatter(
                mode="markers", x=calls,
                y=[round(middle + y, 1) for y in _jitter(len(calls), 9)],
                marker={"color": strip.style.colour, "size": 4, "opacity": 0.55,
                        "line": {"width": 0}},
                hoverinfo="x", meta=strip.label,
            ))  # fmt: skip
            low, high = (s * 1e3 for s in strip.quarter_s)
            shapes.append({"type": "rect", "x0": low, "x1": high, "y0": middle - 11,
                           "y1": middle + 11, "fillcolor": strip.style.colour, "opacity": 0.25,
                           "line": {"width": 0}})  # fmt: skip
            shapes += [
                {"type": "line", "x0": at * 1e3, "x1": at * 1e3, "y0": middle - 12,
                 "y1": middle + 12, "line": {"color": INK, "width": 2, "dash": dash}}
                for at, dash in ((strip.p50_s, "solid"), (strip.p99_s, "dot")) if at is not None
            ]  # fmt: skip
            labels += row_labels(top, strip.label, strip.text)
        return drawn.update_layout(shapes=shapes, annotations=labels)

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
        dress_rows(axes, self.title, range(len(self.strips)), [s.label for s in self.strips])
        axes.set_ylim(len(self.strips) - 0.4, -0.6)
        axes.set_xlim(*self._range())

    def _range(self) -> tuple[float, float]:
        return 0.0, max(s.calls_s[-1] for s in self.strips) * 1e3 * 1.03


def _jitter(count: int, reach: float) -> list[float]:
    """The same for the same number of dots, so that a report made twice is the same."""
    rng = random.Random(count)
    return [rng.uniform(-reach, reach) for _ in range(count)]
