"""A picture per finding of `honed scale`: bars with their intervals, and the finding above."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BAR, _BEST, _INK, _EDGE = "#8fb1d9", "#2f6fb5", "#222222", "#555555"


def draw(finding: Mapping[str, Any], path: Path) -> Path:
    """Write one PNG. `finding` is a Finding's JSON; ratios over 1 are better than the first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = [p for p in finding["points"] if p["ratio"] is not None]
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, point in enumerate(points):
        low, high = point["ci95"] or (point["ratio"], point["ratio"])
        error = [[max(0.0, point["ratio"] - low)], [max(0.0, high - point["ratio"])]]
        colour = _BEST if index and low > 1 else _BAR  # only what is surely better stands out
        axes.bar(
            index, point["ratio"], 0.62, yerr=None if index == 0 else error, capsize=5,
            color=colour, ecolor=_EDGE,
        )  # fmt: skip
        top = max(point["ratio"], high if index else 0)
        axes.annotate(_told(finding, point), (index, top), (0, 5), textcoords="offset points",
                      ha="center", fontsize=9, color=_INK)  # fmt: skip
    axes.axhline(1, color=_EDGE, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(points)), [p["label"] for p in points])
    axes.set_xlabel(finding["axis"])
    axes.set_ylabel("times as fast as the first")
    axes.margins(y=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(finding["title"], fontweight="bold", x=0.02, ha="left")
    axes.set_title(textwrap.fill(finding["sentence"], 92), fontsize=8.5, loc="left", color=_INK)
    records = sum(len(p["records"]) for p in points)
    figure.text(0.99, 0.005, f"{records} records; bars: 95 % over processes, interleaved",
                ha="right", fontsize=6.5, color=_EDGE)  # fmt: skip
    figure.savefig(path)
    return path


def _told(finding: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    if finding["metric"] == "latency":
        return f"{point['latency_s'] * 1e3:.3g} ms"
    return f"{point['throughput_per_s']:.3g}/s"
