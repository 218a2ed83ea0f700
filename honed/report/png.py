"""Pictures as PNG files, with the same data, titles and findings as on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from honed.errors import StoreError, UnsupportedError
from honed.report.figures.base import Picture
from honed.report.panels.base import Legend
from honed.report.paper import Caption, canvas, write
from honed.report.style import INK

_WIDTH_IN = 7.2
_MOST_IDS = 60  # in the small print; the metadata holds all of them


def write_all(pictures: Sequence[tuple[str, Picture]], folder: Path) -> Iterator[Path]:
    """One file `NAME.png` for each picture."""
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
            f"cannot write into {folder}: {error.strerror}",
            "name a folder that you may write: --png FOLDER",
        ) from error


def draw(picture: Picture, path: Path) -> Path:
    """Panels stand beside each other where their widths fit, else below each other."""
    ids = picture.record_ids()
    more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
    shown = f"Records: {' '.join(id[:8] for id in ids[:_MOST_IDS])}{more}."
    small_print = f"{' '.join(picture.all_notes())} {shown}"
    widths, heights = zip(*(panel.size_in for panel in picture.panels), strict=True)
    beside = sum(widths) <= _WIDTH_IN
    height = max(heights) if beside else sum(heights)
    legend_in = 0.2 * -(-len(picture.legend()) // 3)  # three entries a line
    caption = Caption(picture.title, picture.sentence, small_print)
    figure, body = canvas(caption, _WIDTH_IN, height + legend_in)
    if beside:
        all_axes = body.subplots(1, len(widths), squeeze=False)[0]
    else:
        all_axes = body.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, axes in zip(picture.panels, all_axes, strict=True):
        panel.draw(axes)
    if entries := picture.legend():
        _draw_legend(body, entries)
    return write(figure, path, ids)


def _draw_legend(body: Any, entries: Legend) -> None:
    """Below the panels: each hue with its mark and dash."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line,
               label=label, markersize=5)
        for label, style in entries
    ]  # fmt: skip
    body.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7.5, frameon=False,
                labelcolor=INK, handlelength=3)  # fmt: skip
