"""Factors that multiply, a row each: every bar begins where the one above it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.record import Interval
from honed.report.browser import LABEL_PX, escaped, figure, objects, row_labels, rows_axis
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.panels.ticks import Scale, apart
from honed.report.paper import dress_rows
from honed.report.style import INK, MUTED, Style

_ROW_PX, _BAR_PX = 42, 14
_STEP, _ALL = Style(0, 0), Style(2, 2)


@dataclass(frozen=True, slots=True)
class Factor:
    """One row. `factor` has a value; `by` says how it was measured."""

    label: str
    factor: Interval
    by: str = ""

    @property
    def value(self) -> float:
        return self.factor.value or 1.0

    @property
    def text(self) -> str:
        ends = self.factor.ci95
        reach = f" ({ends[0]:.3g} to {ends[1]:.3g})" if ends else ""
        return f"{self.value:.3g}x{reach}{f', {self.by}' if self.by else ''}"


@dataclass(frozen=True, slots=True)
class _Bar:
    """A row with the place of its bar: from `start` to `end`, with the interval of its end."""

    row: Factor
    start: float
    style: Style

    @property
    def end(self) -> float:
        return self.start * self.row.value

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.row.factor.ci95 or (self.row.value, self.row.value)
        return self.start * low, self.start * high

    @property
    def reach(self) -> tuple[float, float]:
        """How far the interval reaches below and above the bar's end."""
        low, high = self.ends
        return max(0.0, self.end - low), max(0.0, high - self.end)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """`steps` one after the other, and `whole`, their product, from the beginning. The axis is
    logarithmic: equal factors have equal lengths."""

    name: str
    steps: tuple[Factor, ...]
    whole: Factor

    @property
    def title(self) -> str:
        return f"{self.name}, logarithmic"

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.5 + 0.3 * (1 + len(self.steps))

    def legend(self) -> Legend:
        return ()

    def plotly(self) -> Figure:
        bars, traces, labels = list(self._bars()), [], []
        for index, bar in enumerate(bars):
            top = index * _ROW_PX
            middle = top + LABEL_PX + _BAR_PX / 2
            labels += row_labels(top, bar.row.label, bar.row.text)
            traces += [_body(bar, middle), _tip(bar, middle)]
        height = len(bars) * _ROW_PX
        return figure(
            traces, height + 56, annotations=labels, yaxis=rows_axis(height),
            xaxis={**self._scale().plotly(), "title": {"text": "times the default"}},
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        bars = list(self._bars())
        for index, bar in enumerate(bars):
            axes.barh(index, bar.end - bar.start, 0.45, left=bar.start, color=bar.style.colour)
            if bar.row.factor.ci95:
                axes.errorbar(bar.end, index, xerr=[[end] for end in bar.reach], color=INK,
                              capsize=2.5, elinewidth=0.9)  # fmt: skip
            if index + 1 < len(bars):
                axes.plot([bar.end] * 2, [index, index + 1], color=MUTED, linewidth=0.7)
        dress_rows(axes, self.title, range(len(bars)), [_two_lines(b.row) for b in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        self._scale().apply(axes, "x")

    def _bars(self) -> Iterator[_Bar]:
        at = 1.0
        for step in self.steps:
            yield (bar := _Bar(step, at, _STEP))
            at = bar.end
        yield _Bar(self.whole, 1.0, _ALL)

    def _scale(self) -> Scale:
        """Ticks where bars end."""
        bars = list(self._bars())
        reached = [1.0, *(end for bar in bars for end in (bar.end, *bar.ends))]
        room = max(1.02, (max(reached) / min(reached)) ** 0.04)
        ticks = apart(sorted({1.0, *(bar.end for bar in bars)}))
        return Scale(min(reached) / room, max(reached) * room, True, tuple(ticks))


def _two_lines(row: Factor) -> str:
    return f"{row.label}\n{row.text}"


def _body(bar: _Bar, middle: float) -> Any:
    return objects().Scatter(
        mode="lines", x=[bar.start, bar.end], y=[middle] * 2,
        line={"color": bar.style.colour, "width": _BAR_PX}, hoverinfo="skip",
    )  # fmt: skip


def _tip(bar: _Bar, middle: float) -> Any:
    """The interval, around an invisible mark that has the text beside the pointer."""
    below, above = bar.reach
    return objects().Scatter(
        mode="markers", x=[bar.end], y=[middle],
        marker={"size": _BAR_PX, "color": bar.style.colour, "opacity": 0},
        error_x={"color": INK, "width": 4, "arrayminus": [below], "array": [above]}
        if bar.row.factor.ci95 else None,
        text=[f"<b>{escaped(bar.row.label)}</b><br>{escaped(bar.row.text)}"],
        meta=bar.row.label,
    )  # fmt: skip
