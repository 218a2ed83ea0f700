"""Axes of numbers: how far they reach and where their ticks are, for Plotly and matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from honed.report.style import GRID
from honed.show.numbers import plain

_LOG_FROM = 8  # the largest over the smallest: from here on a linear axis hides the small ones


def wide(values: Sequence[float]) -> bool:
    """Whether sorted values span so much that their axis is logarithmic."""
    return bool(values) and values[0] > 0 and values[-1] >= _LOG_FROM * values[0]


def ticks(
    values: Sequence[float], *, own: bool = False, from_zero: bool = False
) -> dict[str, Any]:
    """Plotly's range and ticks for sorted values.

    `own`: a tick for each value, as at batch sizes that were asked for.
    """
    if not values:
        return {}
    found: dict[str, Any] = {"showgrid": True, "gridcolor": GRID}
    if wide(values):
        room = max(0.04 * math.log10(values[-1] / values[0]), 0.03)
        low, high = math.log10(values[0]) - room, math.log10(values[-1]) + 2 * room
        at = list(values) if own else _round_numbers(10**low, 10**high)
        found |= {"type": "log", "range": [low, high], "tickvals": _apart(at)}
    else:
        span = values[-1] - values[0] or abs(values[-1]) or 1.0
        low = 0.0 if from_zero else values[0] - 0.08 * span
        found |= {"range": [low, values[-1] + 0.1 * (values[-1] - low or 1.0)]}
        if own:
            found["tickvals"] = list(values)
    if "tickvals" in found:
        found["ticktext"] = [_tick(v) for v in found["tickvals"]]
    return found


def scale(axes: Any, name: str, asked: dict[str, Any]) -> None:
    """The same on matplotlib's axis `name`, x or y."""
    if asked.get("type") == "log":
        getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(*(10**e for e in asked["range"]))
    elif "range" in asked:
        getattr(axes, f"set_{name}lim")(*asked["range"])
    if "tickvals" in asked:
        getattr(axes, f"set_{name}ticks")(asked["tickvals"], asked["ticktext"])
        getattr(axes, f"{name}axis").minorticks_off()


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 and value == round(value) else plain(value, 2)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … between the two; only powers of ten where that would be many."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]


def _apart(values: Sequence[float]) -> list[float]:
    """Ticks of a logarithmic axis that do not run into each other."""
    least = (values[-1] / values[0]) ** 0.06 if len(values) > 1 else 1.0
    kept: list[float] = []
    for value in values:
        if not kept or value >= kept[-1] * least:
            kept.append(value)
    return kept
