"""Pictures as PNG: the same data, titles and findings as on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from honed.errors import StoreError, UnsupportedError
from honed.report.figures.base import Picture
from honed.report.panels.base import Legend
from honed.report.panels.lines import Lines
from honed.report.style import INK, Words, canvas, write

_WIDTH_IN = 7.2
_MOST_IDS = 60  # in the small print; the metadata has them all


def write_all(pictures: Sequence[tuple[str, Picture]], folder: Path) -> Iterator[Path]:
    """One file for each, `NAME.png`."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            "PNGs need matplotlib, which is not installed", "pip install 'honed[pictures]'"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures:
            yield draw(picture, folder / f"{name}.png")
    except OSError as error:
        raise StoreError(
            f"cannot write into {folder}: {error.strerror}", "--png FOLDER that you may write"
        ) from error


def draw(picture: Picture, path: Path) -> Path:
    """Panels with rows stand below each other, where their labels have room; others beside."""
    ids = picture.record_ids()
    more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
    shown = f"Records: {' '.join(id[:8] for id in ids[:_MOST_IDS])}{more}."
    foot = f"{' '.join(picture.all_notes())} {shown}"
    words = Words(picture.title, picture.sentence, foot)
    heights = [panel.height_in for panel in picture.panels]
    beside = len(set(heights)) == 1 and isinstance(picture.panels[0], Lines)
    legend_in = 0.2 * -(-len(picture.legend()) // 3)
    figure, body = canvas(
        words, _WIDTH_IN, (max(heights) if beside else sum(heights)) + legend_in
    )  # fmt: skip
    if beside:
        axes = body.subplots(1, len(heights), squeeze=False)[0]
    else:
        axes = body.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, one in zip(picture.panels, axes, strict=True):
        panel.draw(one)
    if entries := picture.legend():
        _legend(body, entries)
    return write(figure, path, ids)


def _legend(body: Any, entries: Legend) -> None:
    """Below the panels, as they are drawn: the hue with its mark and dash."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=s.colour, marker=s.marker, linestyle=s.line, label=label, markersize=5
        )
        for label, s in entries
    ]
    body.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7.5, frameon=False,
                labelcolor=INK, handlelength=3)  # fmt: skip
