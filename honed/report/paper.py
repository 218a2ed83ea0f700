"""The PNGs' half of the look: matplotlib canvases with a caption, and plain axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.report.style import GRID, INK, MUTED, PAPER

_DPI = 150


@dataclass(frozen=True, slots=True)
class Caption:
    """The text of a picture: title and finding above it, small print below it."""

    title: str
    sentence: str
    small_print: str = ""


def canvas(caption: Caption, width_in: float, height_in: float) -> tuple[Any, Any]:
    """A figure with its caption, and the part of it, `height_in` high, to draw in.

    The Agg canvas needs no window system.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    above = textwrap.wrap(caption.sentence, int(width_in * 14.5))  # characters of 8.5 points
    below = textwrap.wrap(caption.small_print, int(width_in * 19))  # of 6 points
    heights = (0.36 + 0.165 * len(above), height_in, 0.05 + 0.12 * len(below))
    figure = Figure((width_in, sum(heights)), dpi=_DPI, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(3, 1, height_ratios=heights, hspace=0)
    head, body, foot = parts
    left = 0.12 / width_in
    head.text(left, 1 - 0.1 / heights[0], caption.title, va="top", fontweight="bold",
              fontsize=11, color=INK)  # fmt: skip
    head.text(left, 1 - 0.34 / heights[0], "\n".join(above), va="top", fontsize=8.5, color=INK)
    foot.text(left, 0.98, "\n".join(below), va="top", fontsize=6, color=MUTED)
    return figure, body


def dress(axes: Any, title: str, x_title: str = "") -> None:
    """Axes in the report's look: a title, a grid behind the data, no frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_title, fontsize=8, color=MUTED)
    axes.set_title(title, fontsize=8.5, color=INK, loc="left")


def dress_rows(axes: Any, title: str, places: Sequence[float], labels: Sequence[str]) -> None:
    """The same for a panel with rows: their labels at the left, no horizontal grid lines."""
    dress(axes, title)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(places, labels, fontsize=7.5)
    axes.tick_params(axis="y", length=0)


def write(figure: Any, path: Path, records: Sequence[str]) -> Path:
    """Write the PNG; its metadata holds the ids of the records that it shows."""
    about = {"Description": f"honed records: {' '.join(records)}", "Software": "honed"}
    figure.savefig(path, metadata=about)
    return path
