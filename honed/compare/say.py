"""A comparison in words: the verdict with its interval, never a bare ratio."""

from __future__ import annotations

import math

from honed.compare.outcome import Comparison, Contrast
from honed.record import Interval

_UNLIKELY = 10  # more budget than this times the present one is no advice
_NICE_MIN = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440)


def sentence(contrast: Contrast, of: Comparison) -> str:
    """`B is faster than A by 12.3 % (95 % interval 11.0 to 13.5 %)`, and its like."""
    side, against = contrast.side, contrast.against
    if contrast.reason:
        return f"{side} against {against}: undecided ({contrast.reason})"
    if contrast.verdict in ("faster", "slower"):
        return _apart(contrast, of)
    shown = interval(contrast.ratio)
    if contrast.verdict == "tie":
        return f"{side} and {against} tie within {_percent(of.resolution)} ({shown})"
    if contrast.verdict == "not slower":
        limit = _percent(of.slower_than or 0.0)
        return f"{side} is not slower than {against} by {limit} or more ({shown})"
    trials = f"{contrast.blocks} trial{'s' if contrast.blocks != 1 else ''} each"
    return f"{side} against {against}: undecided ({shown} after {trials}; {_advice(contrast, of)})"


def interval(ratio: Interval) -> str:
    """The interval of the change in the metric, from side to side of zero: `-0.4 to +1.2 %`."""
    if ratio.ci95 is None:
        return "no interval yet"
    low, high = ((limit - 1) * 100 for limit in ratio.ci95)
    places = _places(high - low)
    return f"95 % interval {low:+.{places}f} to {high:+.{places}f} %"


def verdict_word(contrast: Contrast) -> str:
    return "undecided" if contrast.reason else contrast.verdict


def _apart(contrast: Contrast, of: Comparison) -> str:
    """By how much, as the metric says it: less time per call, or more done per second."""
    value, limits = contrast.ratio.value or 1.0, contrast.ratio.ci95 or (1.0, 1.0)
    shares = sorted(abs(limit - 1) * 100 for limit in limits)
    places = _places(shares[1] - shares[0])
    by = f"{abs(value - 1) * 100:.{places}f} %"
    shown = f"{shares[0]:.{places}f} to {shares[1]:.{places}f} %"
    more = "higher" if value > 1 else "lower"
    return (
        f"{contrast.side} is {contrast.verdict} than {contrast.against} by {by} "
        f"(95 % interval {shown}; {of.metric} is {more})"
    )


def _advice(contrast: Contrast, of: Comparison) -> str:
    factor = contrast.budget_factor
    if factor is None or factor > _UNLIKELY:
        if of.slower_than is not None:
            return "the difference is about at --fail-if-slower: set another limit"
        return f"a wider --resolution than {_percent(of.resolution)} may be decided"
    # A half more than the guess: the interval's width is a guess too.
    needed_min = max(2 * of.budget_s, 1.5 * factor * of.elapsed_s) / 60
    nice = next((n for n in _NICE_MIN if n >= needed_min), math.ceil(needed_min / 60) * 60)
    return f"more budget: --budget {nice}m"


def _places(width: float) -> int:
    """Two digits of an interval's width, two decimals at most."""
    return 1 if width <= 0 else max(0, min(2, 1 - math.floor(math.log10(width))))


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
