"""What the trials say: a ratio with its interval for every setting, and a sentence per section."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from honed.record import Record
from honed.scale.sections import Section
from honed.scale.trials import Trial


@dataclass(frozen=True, slots=True)
class Point:
    """One setting against its section's first. `ratio` over 1 is better; ends at 95 %.

    `latency_s` and `throughput_per_s` are medians over its processes. `why` tells of a failure.
    """

    label: str
    latency_s: float | None
    throughput_per_s: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    records: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A section's answer."""

    section: str
    title: str
    axis: str
    metric: str
    points: tuple[Point, ...]
    sentence: str


def find(section: Section, trials: Iterable[Trial], resolution: float) -> Finding:
    """The section's points and its sentence; differences under `resolution` do not matter."""
    own = [t for t in trials if t.section == section.name]
    first = section.settings[0].label
    base = {t.block: _value(t.record, section.metric) for t in own if t.label == first}
    compared = len(section.settings) - 1
    points = tuple(
        _point(section, [t for t in own if t.label == s.label], base, compared)
        for s in section.settings
    )
    words = [_words(section, p, first, resolution) for p in points[1:]]
    sentence = "; ".join(words)
    return Finding(
        section.name, section.title, section.axis, section.metric, points, f"{sentence}."
    )


def _value(record: Record, metric: str) -> float | None:
    """What is better when it is less."""
    if record.metrics is None or not record.ok:
        return None
    if metric == "latency":
        return record.metrics.latency_s.p50
    rate = record.metrics.throughput_per_s.value
    return 1 / rate if rate else None


def _point(
    section: Section, trials: Sequence[Trial], base: dict[int, float | None], compared: int
) -> Point:
    records = [t.record for t in trials if t.record.ok and t.record.metrics is not None]
    failures = [t.record.error.message for t in trials if not t.record.ok and t.record.error]
    logs = [
        math.log(first / own)
        for t in trials
        if (first := base.get(t.block)) and (own := _value(t.record, section.metric))
    ]
    metrics = [r.metrics for r in records if r.metrics is not None]
    return Point(
        label=trials[0].label if trials else "",
        latency_s=_median([m.slowest_p50_s or m.latency_s.p50 for m in metrics]),
        throughput_per_s=_median([m.throughput_per_s.value or 0.0 for m in metrics]),
        ratio=math.exp(float(np.mean(logs))) if logs else None,
        ci95=_interval(logs, compared),
        records=tuple(r.id for r in records),
        why=failures[0] if failures else "",
    )


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _interval(logs: Sequence[float], compared: int) -> tuple[float, float] | None:
    """Student's interval of the mean log ratio over blocks.

    The pairs of a block share the machine's mood, so that their ratio is what repeats. All
    intervals of a section hold together with 95 % (Bonferroni): one of eight would otherwise
    look like a difference in every third section without any.
    """
    if len(logs) < 3:
        return None
    if max(logs) == min(logs):
        return math.exp(logs[0]), math.exp(logs[0])
    from scipy import stats

    level = 1 - 0.05 / max(1, compared)
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(level)
    return math.exp(float(low)), math.exp(float(high))


def _words(section: Section, point: Point, first: str, resolution: float) -> str:
    if point.ratio is None or point.ci95 is None:
        return f"{point.label}: {point.why or 'too few trials to say'}"
    low, high = point.ci95
    if section.name == "cores":
        return _scaling(point, first)
    if low > 1:
        return f"{point.label} is faster by {_percent(point.ratio, low, high)}"
    if high < 1:
        return f"{point.label} is slower by {_percent(1 / point.ratio, 1 / high, 1 / low)}"
    if low > 1 - resolution and high < 1 + resolution:
        return f"{point.label} ties within {resolution:.0%}"
    return f"{point.label} is undecided ({low - 1:+.1%} to {high - 1:+.1%})"


def _percent(ratio: float, low: float, high: float) -> str:
    return f"{ratio - 1:.1%} ({low - 1:.1%} to {high - 1:.1%})"


def _scaling(point: Point, first: str) -> str:
    assert point.ratio is not None
    assert point.ci95 is not None
    more = int(point.label) / int(first)
    low, high = point.ci95
    return (
        f"{point.label} cores are {point.ratio:.2f} times as fast as {first} "
        f"({low:.2f} to {high:.2f}), {point.ratio / more:.0%} of perfect"
    )
