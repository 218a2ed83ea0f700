"""The findings of a study: a ratio with its interval for every setting, a sentence per section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from honed.experiment.blocks import PairedBlocks, speedup
from honed.experiment.turns import UntilDecided
from honed.scale.sections import Section
from honed.statistics.paired import Judgement


@dataclass(frozen=True, slots=True)
class SectionQuestion:
    """A section as the experiment answers it. `sides` gives the side of each label."""

    section: Section
    sides: Mapping[str, str]
    rule: UntilDecided


@dataclass(frozen=True, slots=True)
class Point:
    """One setting against the first of its section. `ratio` over 1 is better.

    `latency_s` and `throughput_per_s` are medians over its processes. `why` is the reason of a
    failure. `verdict` is a verdict of `honed compare`, empty for the first setting.
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
    """The answer of one section."""

    section: str
    title: str
    axis: str
    metric: str
    points: tuple[Point, ...]
    sentence: str


def find(question: SectionQuestion, blocks: PairedBlocks, resolution: float) -> Finding:
    """The points of the section and its sentence. Differences under `resolution` are ties."""
    section, judgements = question.section, question.rule.judgements
    sides = question.sides.items()
    points = tuple(_point(label, side, blocks, judgements.get(side)) for label, side in sides)
    text = "; ".join(_clause(section, point, points[0], resolution) for point in points[1:])
    return Finding(section.name, section.title, section.axis, section.metric, points, f"{text}.")


def unaffordable(section: Section, budget_s: float) -> Finding:
    """The finding of a section that was left out, because the budget would not have sufficed."""
    points = tuple(
        Point(setting.label, None, None, None, None, (), why="not measured")
        for setting in section.settings
    )
    sentence = f"not measured, because it would take longer than the budget of {budget_s:.0f} s"
    return Finding(section.name, section.title, section.axis, section.metric, points, sentence)


def _point(label: str, side: str, blocks: PairedBlocks, judgement: Judgement | None) -> Point:
    """A setting without a judgement is the first, or it shares no block with the first."""
    draws = blocks.draws(side)
    metrics = [d.record.metrics for d in draws if d.record.metrics is not None]
    gain = speedup(judgement.estimate) if judgement else None
    return Point(
        label,
        latency_s=_median([m.slowest_p50_s or m.latency_s.p50 for m in metrics]),
        throughput_per_s=_median([m.throughput_per_s.value or 0.0 for m in metrics]),
        ratio=gain.value if gain else 1.0 if metrics else None, ci95=gain.ci95 if gain else None,
        records=tuple(d.record_id for d in draws),
        why=blocks.failed[side].message if side in blocks.failed else "",
        verdict=judgement.kind if judgement else "",
    )  # fmt: skip


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _clause(section: Section, point: Point, first: Point, resolution: float) -> str:
    label, ratio, ci95 = point.label, point.ratio, point.ci95
    if ratio is None or ci95 is None:
        return f"{label}: {point.why or 'too few trials to say'}"
    low, high = ci95
    if section.name == "cores":
        share_of_perfect = ratio / (int(label) / int(first.label))
        return (
            f"{label} cores are {ratio:.2f} times as fast as {first.label} "
            f"({low:.2f} to {high:.2f}), {share_of_perfect:.0%} of perfect"
        )
    if point.verdict == "faster":
        return f"{label} is faster by {_percent(ratio, low, high)}"
    if point.verdict == "slower":
        return f"{label} is slower by {_percent(1 / ratio, 1 / high, 1 / low)}"
    if point.verdict == "tie":
        return f"{label} ties within {resolution:.0%}"
    return f"{label} is undecided ({low - 1:+.1%} to {high - 1:+.1%})"


def _percent(ratio: float, low: float, high: float) -> str:
    return f"{ratio - 1:.1%} ({low - 1:.1%} to {high - 1:.1%})"
