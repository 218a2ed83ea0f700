"""Axes of numbers: their reach and their ticks, the same for Plotly and for matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honed.show.numbers import plain

# Where the largest value is this many times the smallest, the axis is logarithmic: a linear one
# would hide the small values.
_LOG_FROM = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`. Without `ticks` the library chooses them."""

    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] = ()

    def position(self, value: float) -> float:
        """Where Plotly places a value: at its exponent of ten on a logarithmic axis."""
        return math.log10(value) if self.log else value

    def share(self, value: float) -> float:
        """Where a value lies between the ends: 0 at the low one, 1 at the high one."""
        low, high, at = map(self.position, (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5

    def at(self, share: float) -> float:
        """The value that lies at a share of the way; the inverse of `share`."""
        low, high = map(self.position, (self.low, self.high))
        at = low + share * (high - low)
        return 10**at if self.log else at

    def plotly(self) -> dict[str, Any]:
        """The axis's settings for Plotly."""
        ends = [self.position(self.low), self.position(self.high)]
        axis: dict[str, Any] = {"type": "log" if self.log else "linear", "range": ends}
        if self.ticks:
            axis |= {"tickvals": self.ticks, "ticktext": [_tick(v) for v in self.ticks]}
        return axis

    def apply(self, axes: Any, name: str) -> None:
        """The same on matplotlib's axis `name`, x or y."""
        if self.log:
            axes.set(**{f"{name}scale": "log"})
        axes.set(**{f"{name}lim": (self.low, self.high)})
        if self.ticks:
            labels = [_tick(v) for v in self.ticks]
            axes.set(**{f"{name}ticks": self.ticks, f"{name}ticklabels": labels})
            getattr(axes, f"{name}axis").minorticks_off()


def wide(values: Sequence[float]) -> bool:
    """Whether sorted values span so much that their axis is logarithmic."""
    return bool(values) and values[0] > 0 and values[-1] >= _LOG_FROM * values[0]


def scale_for(
    values: Sequence[float], *, tick_each: bool = False, from_zero: bool = False
) -> Scale:
    """An axis for sorted values.

    `tick_each`: a tick at each value, as for batch sizes that were asked for.
    """
    if not values:
        return Scale(0.0, 1.0)
    if wide(values):
        room = max(0.04 * math.log10(values[-1] / values[0]), 0.03)
        low, high = values[0] * 10**-room, values[-1] * 10 ** (2 * room)
        ticks = list(values) if tick_each else _round_numbers(low, high)
        return Scale(low, high, True, tuple(apart(ticks)))
    span = values[-1] - values[0] or abs(values[-1]) or 1.0
    low = 0.0 if from_zero else values[0] - 0.08 * span
    high = values[-1] + 0.1 * (values[-1] - low or 1.0)
    return Scale(low, high, False, tuple(values) if tick_each else ())


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 and value == round(value) else plain(value, 2)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … between the two; only powers of ten where there would be many."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]


def apart(values: Sequence[float]) -> list[float]:
    """Ticks of a logarithmic axis whose labels do not run into each other."""
    least = (values[-1] / values[0]) ** 0.06 if len(values) > 1 else 1.0
    kept: list[float] = []
    for value in values:
        if not kept or value >= kept[-1] * least:
            kept.append(value)
    return kept
