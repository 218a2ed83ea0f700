"""Parallel coordinates lying down: a rail for each key, a line for each setting from top to foot.

The rails lie across, because that leaves room for the names of values on a narrow screen too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.report.browser import escaped, figure, objects
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress_rows
from honed.report.style import GRID, INK, PAPER, Style

_RAIL_PX = 66
_ROOM = 44  # characters that stand side by side on a telephone
_JITTER = 0.012  # of the width: equal settings lie beside each other


@dataclass(frozen=True, slots=True)
class Rail:
    """A key, and where on it (0 to 1) each of its values is."""

    name: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One setting: where its line crosses each rail; None: the line passes by."""

    stops: tuple[float | None, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Settings of one kind; later bundles lie above."""

    label: str
    style: Style
    ways: tuple[Way, ...]
    width: float = 1.5


@dataclass(frozen=True, slots=True)
class Parallel:
    title: str
    rails: tuple[Rail, ...]
    bundles: tuple[Bundle, ...]

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.3 + len(self.rails) * 0.52

    def legend(self) -> Legend:
        return [(b.label, b.style) for b in self.bundles]

    def plotly(self) -> Figure:
        rails = [
            {"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, "layer": "below",
             "line": {"color": GRID, "width": 3}}
            for y in range(len(self.rails))
        ]  # fmt: skip
        notes = []
        for y, rail in enumerate(self.rails):
            notes.append(_note(0, y - 0.16, "bottom", f"<b>{escaped(rail.name)}</b>"))
            notes += [
                _note(x, y + 0.1 + 0.22 * level, "top", escaped(text))
                for level, x, text in _placed(rail, _ROOM)
            ]
        return figure(
            [_trace(b) for b in self.bundles], _RAIL_PX * len(self.rails) + 10,
            xaxis={"visible": False, "range": [-0.01, 1.01]},
            yaxis={"visible": False, "range": [len(self.rails) - 0.35, -0.5]},
            shapes=rails, annotations=notes, margin={"l": 4, "r": 4, "t": 4, "b": 4},
            hovermode="closest",
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        for bundle in self.bundles:
            for xs, ys, _ in _paths(bundle):
                axes.plot(xs, ys, color=bundle.style.colour, linestyle=bundle.style.line,
                          linewidth=0.7 * bundle.width)  # fmt: skip
        dress_rows(axes, self.title, range(len(self.rails)), [r.name for r in self.rails])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.hlines(range(len(self.rails)), 0, 1, color=GRID, linewidth=2)
        background = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        for y, rail in enumerate(self.rails):
            for level, x, text in _placed(rail, 2 * _ROOM):
                axes.annotate(text, (x, y), (0, -4 - 8 * level), textcoords="offset points",
                              ha="center", va="top", fontsize=6.5, color=INK,
                              bbox=background)  # fmt: skip
        axes.set_xticks([])
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(len(self.rails) - 0.4, -0.3)


def _trace(bundle: Bundle) -> Any:
    """One trace for all lines of a bundle, with a gap after each line."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    for across, down, text in _paths(bundle):
        xs += [*across, None]
        ys += [*down, None]
        texts += [text] * (len(across) + 1)
    line = {"color": bundle.style.colour, "width": bundle.width, "dash": bundle.style.dash}
    return objects().Scatter(mode="lines", x=xs, y=ys, text=texts, meta=bundle.label, line=line)


def _note(x: float, y: float, anchor: str, text: str) -> dict[str, Any]:
    return {"x": x, "y": y, "xanchor": "left" if x == 0 else "center", "yanchor": anchor,
            "text": text, "bgcolor": PAPER, "opacity": 0.92, "font": {"size": 11}}  # fmt: skip


def _paths(bundle: Bundle) -> Iterator[tuple[list[float], list[float], str]]:
    for index, way in enumerate(bundle.ways):
        aside = _JITTER * ((index % 5) - 2) / 2 if len(bundle.ways) > 1 else 0.0
        crossed = [(x + aside, float(y)) for y, x in enumerate(way.stops) if x is not None]
        yield [x for x, _ in crossed], [y for _, y in crossed], way.text


def _placed(rail: Rail, room: int) -> list[tuple[int, float, str]]:
    """Names side by side; where they have no room, on two levels in turns, the long ones cut."""
    length = sum(len(text) + 2 for _, text in rail.ticks)
    if length <= room:
        return [(0, x, text) for x, text in rail.ticks]
    most = max(4, 2 * room // max(1, len(rail.ticks)) - 2)
    return [
        (i % 2, x, text if len(text) <= most else f"{text[: most - 1]}…")
        for i, (x, text) in enumerate(rail.ticks)
    ]
