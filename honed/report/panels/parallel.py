"""Parallel coordinates lying down: a rail for each key, a line for each setting from top to foot.

Rails lie across since that leaves room for their values' names on a narrow screen too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from honed.report.panels.base import Legend, escaped
from honed.report.style import GRID, INK, PAPER, Style, bare, layout

_RAIL_PX, _PX_PER_IN = 66, 100
_ROOM = 44  # characters that stand side by side on a telephone
_JITTER = 0.012  # of the width: equal settings lie beside each other


@dataclass(frozen=True, slots=True)
class Rail:
    """A key, and where on it (0 to 1) its values are."""

    name: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One setting: where it meets each rail; None passes by."""

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
    def height_in(self) -> float:
        return 0.3 + len(self.rails) * 0.52

    def legend(self) -> Legend:
        return [(b.label, b.style) for b in self.bundles]

    def plotly(self) -> dict[str, Any]:
        traces = [self._lines(b) for b in self.bundles]
        rails = [
            {"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, "layer": "below",
             "line": {"color": GRID, "width": 3}}
            for y in range(len(self.rails))
        ]  # fmt: skip
        notes = [
            self._note(0, y - 0.16, "bottom", f"<b>{escaped(rail.name)}</b>")
            for y, rail in enumerate(self.rails)
        ]
        notes += [
            self._note(x, y + 0.1 + 0.22 * level, "top", escaped(text))
            for y, rail in enumerate(self.rails)
            for level, x, text in _placed(rail)
        ]
        hidden = {"visible": False, "fixedrange": True}
        down = hidden | {"range": [len(self.rails) - 0.35, -0.5]}
        return {
            "data": traces,
            "layout": layout(
                _RAIL_PX * len(self.rails) + 10, xaxis=hidden | {"range": [-0.01, 1.01]},
                yaxis=down, shapes=rails, annotations=notes,
                margin={"l": 4, "r": 4, "t": 4, "b": 4}, hovermode="closest",
            ),
        }  # fmt: skip

    def draw(self, axes: Any) -> None:
        for bundle in self.bundles:
            for xs, ys, _ in _paths(bundle):
                axes.plot(xs, ys, color=bundle.style.colour, linestyle=bundle.style.line,
                          linewidth=0.7 * bundle.width)  # fmt: skip
        bare(axes)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.hlines(range(len(self.rails)), 0, 1, color=GRID, linewidth=2)
        ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        for y, rail in enumerate(self.rails):
            for level, x, text in _placed(rail, 2 * _ROOM):
                axes.annotate(text, (x, y), (0, -4 - 8 * level), textcoords="offset points",
                              ha="center", va="top", fontsize=6.5, color=INK,
                              bbox=ground)  # fmt: skip
        axes.set_yticks(range(len(self.rails)), [r.name for r in self.rails], fontsize=7.5)
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(len(self.rails) - 0.4, -0.3)
        axes.set_title(self.title, fontsize=8.5, color=INK, loc="left")

    def _lines(self, bundle: Bundle) -> dict[str, Any]:
        """One trace: a gap after each line."""
        xs: list[float | None] = []
        ys: list[float | None] = []
        texts: list[str] = []
        for across, down, text in _paths(bundle):
            xs += [*across, None]
            ys += [*down, None]
            texts += [text] * (len(across) + 1)
        return {
            "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "text",
            "text": texts, "meta": bundle.label,
            "line": {"color": bundle.style.colour, "width": bundle.width,
                     "dash": bundle.style.dash},
        }  # fmt: skip

    @staticmethod
    def _note(x: float, y: float, anchor: str, text: str) -> dict[str, Any]:
        return {"x": x, "y": y, "xanchor": "left" if x == 0 else "center", "yanchor": anchor,
                "text": text, "showarrow": False, "borderpad": 0, "bgcolor": PAPER,
                "opacity": 0.92, "font": {"size": 11, "color": INK}}  # fmt: skip


def _paths(bundle: Bundle) -> Iterator[tuple[list[float], list[float], str]]:
    for index, way in enumerate(bundle.ways):
        aside = _JITTER * ((index % 5) - 2) / 2 if len(bundle.ways) > 1 else 0.0
        met = [(x + aside, float(y)) for y, x in enumerate(way.stops) if x is not None]
        yield [x for x, _ in met], [y for _, y in met], way.text


def _placed(rail: Rail, room: int = _ROOM) -> list[tuple[int, float, str]]:
    """On two levels in turns where the names have no room side by side; longer ones are cut."""
    texts = [text for _, text in rail.ticks]
    levels = 1 if _length(texts) <= room else 2
    most = max(4, levels * room // max(1, len(texts)) - 2)
    return [(i % levels, x, _cut(text, most) if levels > 1 else text)
            for i, (x, text) in enumerate(rail.ticks)]  # fmt: skip


def _length(texts: Sequence[str]) -> int:
    return sum(len(t) + 2 for t in texts)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
