"""Colours, marks and dashes of every picture, in the browser and as PNG.

A reader who cannot distinguish two hues still has a second sign: each line also has a mark and a
dash, and each bar a label. Every hue has a contrast of at least 3 to its background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Pairs of a colour and its partner for a dark screen. Figures are made in the light colours; the
# page replaces each by its partner when the reader's screen is dark.
SERIES = (
    ("#0072b2", "#4da9f0"), ("#c9530a", "#ff8b52"), ("#00805c", "#2fc79b"),
    ("#a6468a", "#e58cc9"), ("#8f6b00", "#e8c547"), ("#2a8fbd", "#8fd6f5"),
    ("#4b5563", "#b6bfcc"), ("#7a1f3d", "#f08ca8"),
)  # fmt: skip
# The colours of a heat map from the worst value to the best. Numbers are printed on them, so that
# each must leave ink or paper readable.
SCALE = (
    ("#eaf2f9", "#1b2a3b"), ("#b5d3ec", "#254a6e"), ("#5fa2d3", "#356a9b"), ("#0f5c96", "#9fd0f7"),
)  # fmt: skip
INK, MUTED, GRID, PAPER = "#1c2430", "#5a6472", "#e1e5eb", "#ffffff"
DARK = {
    **dict(SERIES), **dict(SCALE),
    INK: "#e8ecf2", MUTED: "#a3adbb", GRID: "#2e3541", PAPER: "#14181f",
}  # fmt: skip
# Each mark and each dash by its name in Plotly and its name in matplotlib.
_MARKS = (
    ("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"),
    ("triangle-down", "v"), ("pentagon", "p"), ("hexagon", "h"), ("star", "*"),
)  # fmt: skip
_DASHES = (
    ("solid", "-"), ("dash", (0, (5, 2))), ("dot", (0, (1, 1.5))), ("dashdot", "-."),
    ("longdash", (0, (9, 3))), ("longdashdot", (0, (9, 3, 2, 3))),
)  # fmt: skip
CROSS = -1  # the number of the mark for trials without a result


@dataclass(frozen=True, slots=True)
class Style:
    """A hue and a mark by their numbers; the dash goes with the mark."""

    hue: int = 0
    mark: int = 0

    @property
    def colour(self) -> str:
        return SERIES[self.hue % len(SERIES)][0]

    def symbol(self, status: str = "ok") -> str:
        """Plotly's name of the mark: hollow for `unproven`, a cross for `diverged`."""
        if self.mark == CROSS:
            return "x-thin"
        name = _MARKS[self.mark % len(_MARKS)][0]
        return {"unproven": f"{name}-open", "diverged": "x-thin"}.get(status, name)

    @property
    def marker(self) -> str:
        """matplotlib's name of the mark."""
        return "x" if self.mark == CROSS else _MARKS[self.mark % len(_MARKS)][1]

    @property
    def dash(self) -> str:
        """Plotly's name of the dash."""
        return _DASHES[max(0, self.mark) % len(_DASHES)][0]

    @property
    def line(self) -> Any:
        """matplotlib's line style."""
        return _DASHES[max(0, self.mark) % len(_DASHES)][1]
