"""The sentences of a comparison: each verdict comes with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

from honed.compare.outcome import Comparison, Contrast
from honed.experiment.draw import Metric
from honed.record import Interval

_LARGEST_FACTOR = 10  # nobody follows the advice to spend more than ten times the budget
_ROUND_MINUTES = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440)


def sentence(contrast: Contrast, of: Comparison) -> str:
    """For example `B is faster than A by 12 % (95 % interval 11 to 13 %; latency is lower)`."""
    side, against = contrast.side, contrast.against
    if contrast.reason:
        return f"{side} against {against}: undecided ({contrast.reason})"
    if contrast.verdict in ("faster", "slower"):
        return difference(contrast, of.metric)
    shown = interval(contrast.ratio)
    if contrast.verdict == "tie":
        return f"{side} and {against} tie within {_percent(of.resolution)} ({shown})"
    if contrast.verdict == "not slower":
        limit = _percent(of.slower_than or 0.0)
        return f"{side} is not slower than {against} by {limit} or more ({shown})"
    trials = f"{contrast.blocks} trial{'s' if contrast.blocks != 1 else ''} each"
    return f"{side} against {against}: undecided ({shown} after {trials}; {_advice(contrast, of)})"


def interval(ratio: Interval) -> str:
    """The interval of the change in the metric, with signs: `95 % interval -0.4 to +1.2 %`."""
    if ratio.ci95 is None:
        return "no interval yet"
    low, high = ((limit - 1) * 100 for limit in ratio.ci95)
    places = _places(high - low)
    return f"95 % interval {low:+.{places}f} to {high:+.{places}f} %"


def settings_words(differs: Mapping[str, str]) -> str:
    """The settings in which a side differs from the others, as one types them."""
    return " ".join(f"{k}={v}" for k, v in differs.items()) or "as the others"


def difference(contrast: Contrast, metric: Metric) -> str:
    """By how much a side is faster or slower: in time per call, or in sequences per second."""
    value, limits = contrast.ratio.value or 1.0, contrast.ratio.ci95 or (1.0, 1.0)
    shares = sorted(abs(limit - 1) * 100 for limit in limits)
    places = _places(shares[1] - shares[0])
    by = f"{abs(value - 1) * 100:.{places}f} %"
    shown = f"{shares[0]:.{places}f} to {shares[1]:.{places}f} %"
    more = "higher" if value > 1 else "lower"
    return (
        f"{contrast.side} is {contrast.verdict} than {contrast.against} by {by} "
        f"(95 % interval {shown}; {metric} is {more})"
    )


def _advice(contrast: Contrast, of: Comparison) -> str:
    factor = contrast.budget_factor
    if factor is None or factor > _LARGEST_FACTOR:
        if of.slower_than is not None:
            return "the difference is about at --fail-if-slower: set another limit"
        return f"a wider --resolution than {_percent(of.resolution)} may be decided"
    # Half as much again as the estimate, because the width of the interval is an estimate too.
    needed_min = max(2 * of.budget_s, 1.5 * factor * of.elapsed_s) / 60
    hours_min = math.ceil(needed_min / 60) * 60
    minutes = next((n for n in _ROUND_MINUTES if n >= needed_min), hours_min)
    return f"more budget: --budget {minutes}m"


def _places(width: float) -> int:
    """The decimals that show two digits of an interval's width, two decimals at most."""
    return 1 if width <= 0 else max(0, min(2, 1 - math.floor(math.log10(width))))


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
