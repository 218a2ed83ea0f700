"""Comparisons that look like real ones, for whoever shows or exports them."""

from __future__ import annotations

from honed.compare.outcome import ComparedSide, ComparedTrial, Comparison, Contrast
from honed.record import Doubt, Interval


def side(label: str, median: float, **differs: str) -> ComparedSide:
    return ComparedSide(label, {}, differs, 8, median, 0.99999, ())


def comparison() -> Comparison:
    """B takes half of the time of A; a setting of B holds a sign that ends cells of Markdown."""
    contrast = Contrast("B", "A", "faster", Interval(0.5, (0.48, 0.52)), 8)
    sides = (side("A", 0.1, backend="torch"), side("B", 0.05, backend="a|b"))
    trials = (
        ComparedTrial("A", 0, "r1", "ok", 0.1, 0.05),
        ComparedTrial("B", 0, "r2", "ok", 0.05, 0.05),
        ComparedTrial("B", 1, "r3", "ok", None, None, counted=False),
    )
    return Comparison(
        "s", "latency", 0.02, None, 600.0, "decided", sides, (contrast,), trials, 42.0,
        doubts=(Doubt("load", "others used 20 %"),),
    )  # fmt: skip
