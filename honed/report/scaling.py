"""A PNG for each finding of `honed scale`: bars with their intervals, the finding above them."""

from __future__ import annotations

from pathlib import Path

from honed.report.paper import Caption, canvas, dress, write
from honed.report.style import INK, MUTED, SERIES
from honed.scale.findings import Finding, Point

_BAR, _BETTER = "#9db7cf", SERIES[0][0]


def draw(finding: Finding, path: Path) -> Path:
    """Write the PNG. A ratio over 1 is better than the first bar."""
    measured = [(p, p.ratio) for p in finding.points if p.ratio is not None]
    records = [id for point, _ in measured for id in point.records]
    foot = f"Bars: 95 % over processes, interleaved. {len(records)} records."
    figure, body = canvas(Caption(finding.title, finding.sentence, foot), 7.2, 3.4)
    axes = body.subplots()
    for index, (point, ratio) in enumerate(measured):
        low, high = point.ci95 or (ratio, ratio)
        whiskers = [[max(0.0, ratio - low)], [max(0.0, high - ratio)]] if index else None
        axes.bar(
            index, ratio, 0.62, yerr=whiskers, capsize=4, ecolor=INK,
            color=_BETTER if index and low > 1 else _BAR,  # only certain gains stand out
        )  # fmt: skip
        top = max(ratio, high) if index else ratio
        axes.annotate(_value(finding, point), (index, top), (0, 5), textcoords="offset points",
                      ha="center", fontsize=8, color=INK)  # fmt: skip
    dress(axes, "times as fast as the first", finding.axis)
    axes.grid(visible=False, axis="x")
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(measured)), [point.label for point, _ in measured])
    axes.margins(y=0.18)
    return write(figure, path, records)


def _value(finding: Finding, point: Point) -> str:
    if finding.metric == "latency":
        return "" if point.latency_s is None else f"{point.latency_s * 1e3:.3g} ms"
    return "" if point.throughput_per_s is None else f"{point.throughput_per_s:.3g}/s"
