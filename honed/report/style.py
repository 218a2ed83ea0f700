"""One look for every picture, on the page and as PNG: colours, marks, bare axes.

The hues are told apart with any colour vision because a second sign always goes with them (a
mark and a dash, or a label at the bar), and each has a contrast of at least 3 to its ground.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Figures are made in the light colours; the page swaps each for its dark partner.
SERIES = (
    ("#0072b2", "#4da9f0"), ("#c9530a", "#ff8b52"), ("#00805c", "#2fc79b"),
    ("#a6468a", "#e58cc9"), ("#8f6b00", "#e8c547"), ("#2a8fbd", "#8fd6f5"),
    ("#4b5563", "#b6bfcc"), ("#7a1f3d", "#f08ca8"),
)  # fmt: skip
# From the worst to the best; numbers stand on it, so that no step may hide them.
SCALE = (
    ("#eaf2f9", "#1b2a3b"), ("#b5d3ec", "#254a6e"), ("#5fa2d3", "#356a9b"), ("#0f5c96", "#9fd0f7"),
)  # fmt: skip
INK, MUTED, GRID, PAPER = "#1c2430", "#5a6472", "#e1e5eb", "#ffffff"
DARK = {
    **dict(SERIES), **dict(SCALE),
    INK: "#e8ecf2", MUTED: "#a3adbb", GRID: "#2e3541", PAPER: "#14181f",
}  # fmt: skip
# As Plotly and as matplotlib call them.
_MARKS = (
    ("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"),
    ("triangle-down", "v"), ("pentagon", "p"), ("hexagon", "h"), ("star", "*"),
)  # fmt: skip
_DASHES = (
    ("solid", "-"), ("dash", (0, (5, 2))), ("dot", (0, (1, 1.5))), ("dashdot", "-."),
    ("longdash", (0, (9, 3))), ("longdashdot", (0, (9, 3, 2, 3))),
)  # fmt: skip
_DPI = 150


CROSS = -1  # the mark of what gave no result


@dataclass(frozen=True, slots=True)
class Style:
    """A hue and a mark, by number."""

    hue: int = 0
    mark: int = 0

    @property
    def colour(self) -> str:
        return SERIES[self.hue % len(SERIES)][0]

    def symbol(self, status: str = "ok") -> str:
        """Plotly's. Hollow: unproven; a cross: diverged."""
        if self.mark == CROSS:
            return "x-thin"
        name = _MARKS[self.mark % len(_MARKS)][0]
        return {"unproven": f"{name}-open", "diverged": "x-thin"}.get(status, name)

    @property
    def marker(self) -> str:
        """matplotlib's."""
        return "x" if self.mark == CROSS else _MARKS[self.mark % len(_MARKS)][1]

    @property
    def dash(self) -> str:
        return _DASHES[max(0, self.mark) % len(_DASHES)][0]

    @property
    def line(self) -> Any:
        return _DASHES[max(0, self.mark) % len(_DASHES)][1]


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Plotly's layout that every panel begins with: no frame, no legend, no zoom by dragging."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 14, "t": 8, "b": 40},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"align": "left"},
        "showlegend": False,
        "dragmode": False,
        **more,
    }


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """One of Plotly's axes."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": MUTED}, "standoff": 6},
        "gridcolor": GRID,
        "linecolor": MUTED,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
        "tickfont": {"size": 12},
        **more,
    }


def bare(axes: Any) -> None:
    """matplotlib's axes likewise."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


@dataclass(frozen=True, slots=True)
class Words:
    """Around a picture: above it what it is and what is seen, below the small print."""

    title: str
    sentence: str
    foot: str = ""


def canvas(words: Words, width: float, height: float) -> tuple[Any, Any]:
    """matplotlib's figure with its words (no window system is asked for), and the part to draw in.

    `height`, in inches, is that part's alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    above = textwrap.wrap(words.sentence, int(width * 14.5))
    below = textwrap.wrap(words.foot, int(width * 19))
    heights = (0.36 + 0.165 * len(above), height, 0.05 + 0.12 * len(below))
    figure = Figure((width, sum(heights)), dpi=_DPI, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(3, 1, height_ratios=heights, hspace=0)
    head, body, foot = parts
    left = 0.12 / width
    head.text(left, 1 - 0.1 / heights[0], words.title, va="top", fontweight="bold", fontsize=11,
              color=INK)  # fmt: skip
    head.text(left, 1 - 0.34 / heights[0], "\n".join(above), va="top", fontsize=8.5, color=INK)
    foot.text(left, 0.98, "\n".join(below), va="top", fontsize=6, color=MUTED)
    return figure, body


def write(figure: Any, path: Path, records: Sequence[str]) -> Path:
    """The PNG; its metadata holds the ids of the records that it shows."""
    about = {"Description": f"honed records: {' '.join(records)}", "Software": "honed"}
    figure.savefig(path, metadata=about)
    return path
