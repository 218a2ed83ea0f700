"""A picture per finding of `honed scale`: bars with their intervals, and the finding above."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.report.paper import Caption, canvas, dress, write
from honed.report.style import INK, MUTED, SERIES

_BAR, _BEST = "#9db7cf", SERIES[0][0]


def draw(finding: Mapping[str, Any], path: Path) -> Path:
    """Write one PNG. `finding` is a Finding's JSON; ratios over 1 are better than the first."""
    points = [p for p in finding["points"] if p["ratio"] is not None]
    records = [id for p in points for id in p["records"]]
    foot = f"Bars: 95 % over processes, interleaved. {len(records)} records."
    figure, body = canvas(Caption(finding["title"], finding["sentence"], foot), 7.2, 3.4)
    axes = body.subplots()
    for index, point in enumerate(points):
        low, high = point["ci95"] or (point["ratio"], point["ratio"])
        error = [[max(0.0, point["ratio"] - low)], [max(0.0, high - point["ratio"])]]
        colour = _BEST if index and low > 1 else _BAR  # only what is surely better stands out
        axes.bar(
            index, point["ratio"], 0.62, yerr=None if index == 0 else error, capsize=4,
            color=colour, ecolor=INK,
        )  # fmt: skip
        top = max(point["ratio"], high if index else 0)
        axes.annotate(_told(finding, point), (index, top), (0, 5), textcoords="offset points",
                      ha="center", fontsize=8, color=INK)  # fmt: skip
    dress(axes, "times as fast as the first", finding["axis"])
    axes.grid(visible=False, axis="x")
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(points)), [p["label"] for p in points])
    axes.margins(y=0.18)
    return write(figure, path, records)


def _told(finding: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    if finding["metric"] == "latency":
        return f"{point['latency_s'] * 1e3:.3g} ms"
    return f"{point['throughput_per_s']:.3g}/s"
