"""What the trials say: a ratio with its interval for every setting, and a sentence per section."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from honed.record import Record
from honed.scale.sections import Section
from honed.scale.trials import Trial
from honed.statistics.paired import Estimate, Judgement, Question, judge


@dataclass(frozen=True, slots=True)
class Point:
    """One setting against its section's first. `ratio` over 1 is better; ends at 95 %.

    `latency_s` and `throughput_per_s` are medians over its processes. `why` tells of a failure.
    `verdict` is honed compare's: faster, slower, tie, undecided; empty for the first.
    """

    label: str
    latency_s: float | None
    throughput_per_s: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    records: tuple[str, ...]
    why: str = ""
    verdict: str = ""


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
    judgements = _judged(section, own, resolution)
    points = tuple(
        _point(s.label, [t for t in own if t.label == s.label], judgements.get(s.label))
        for s in section.settings
    )
    words = [_words(section, p, first, resolution) for p in points[1:]]
    sentence = "; ".join(words)
    return Finding(
        section.name, section.title, section.axis, section.metric, points, f"{sentence}."
    )


def undecided(section: Section, trials: Iterable[Trial], resolution: float) -> set[str]:
    """The settings that more blocks may still tell from the section's first, or call a tie."""
    own = [t for t in trials if t.section == section.name]
    judgements = _judged(section, own, resolution)
    rest = {s.label for s in section.settings[1:]}
    return {x for x in rest if x not in judgements or judgements[x].kind == "undecided"}


def _judged(section: Section, trials: Sequence[Trial], resolution: float) -> dict[str, Judgement]:
    """honed compare's verdict of every setting that shares a block with the first.

    The pairs of a block share the machine's mood, so that their ratio is what repeats.
    """
    logs: dict[str, dict[int, float]] = {s.label: {} for s in section.settings}
    for t in trials:
        if value := _value(t.record, section.metric):
            logs[t.label][t.block] = math.log(value)
    base = logs.pop(section.settings[0].label)
    differences = {
        label: [value - base[block] for block, value in own.items() if block in base]
        for label, own in logs.items()
    }
    told = {label: found for label, found in differences.items() if found}
    return judge(told, Question(math.log1p(resolution)), {})


def _value(record: Record, metric: str) -> float | None:
    """What is better when it is less."""
    if record.metrics is None or not record.ok:
        return None
    if metric == "latency":
        return record.metrics.latency_s.p50
    rate = record.metrics.throughput_per_s.value
    return 1 / rate if rate else None


def _point(label: str, trials: Sequence[Trial], judgement: Judgement | None) -> Point:
    """A setting without a judgement is the first itself, or has no pair with it."""
    records = [t.record for t in trials if t.record.ok and t.record.metrics is not None]
    failures = [t.record.error.message for t in trials if not t.record.ok and t.record.error]
    metrics = [r.metrics for r in records if r.metrics is not None]
    return Point(
        label=label,
        latency_s=_median([m.slowest_p50_s or m.latency_s.p50 for m in metrics]),
        throughput_per_s=_median([m.throughput_per_s.value or 0.0 for m in metrics]),
        ratio=math.exp(-judgement.estimate.log) if judgement else 1.0 if metrics else None,
        ci95=_limits(judgement.estimate) if judgement else None,
        records=tuple(r.id for r in records),
        why=failures[0] if failures else "",
        verdict=judgement.kind if judgement else "",
    )


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _limits(at: Estimate) -> tuple[float, float] | None:
    """As ratios over 1 for better; None while there are too few blocks."""
    return (math.exp(-at.high), math.exp(-at.low)) if math.isfinite(at.half) else None


def _words(section: Section, point: Point, first: str, resolution: float) -> str:
    if point.ratio is None or point.ci95 is None:
        return f"{point.label}: {point.why or 'too few trials to say'}"
    low, high = point.ci95
    if section.name == "cores":
        return _scaling(point, first)
    if point.verdict == "faster":
        return f"{point.label} is faster by {_percent(point.ratio, low, high)}"
    if point.verdict == "slower":
        return f"{point.label} is slower by {_percent(1 / point.ratio, 1 / high, 1 / low)}"
    if point.verdict == "tie":
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
