"""Numbers as people read them: as many digits as their interval supports, and no more."""

from __future__ import annotations

import math

from honed.record import Interval

NONE = "\N{EN DASH}"
_MIB = 2**20


def measured(value: float | None, ci95: tuple[float, float] | None, scale: float = 1.0) -> str:
    """`52.41 ±0.30`: the value has as many decimals as two digits of the half width need."""
    if value is None:
        return NONE
    if ci95 is None:
        return plain(value * scale)
    half = max(ci95[1] - value, value - ci95[0]) * scale
    places = _places(value * scale, half)
    return f"{value * scale:,.{places}f} ±{half:,.{places}f}"


def like(value: float | None, model: float, ci95: tuple[float, float] | None, scale: float) -> str:
    """A value with the decimals that `measured(model, ci95)` has, so that columns line up."""
    if value is None:
        return NONE
    if ci95 is None:
        return plain(value * scale)
    half = max(ci95[1] - model, model - ci95[0]) * scale
    return f"{value * scale:,.{_places(model * scale, half)}f}"


def plain(value: float | None, digits: int = 3) -> str:
    """Significant digits, thousands grouped: 0.0524, 52.4, 2,443."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def mib(size_bytes: float | None) -> str:
    """Bytes as MiB, one decimal below ten."""
    if size_bytes is None:
        return NONE
    size = size_bytes / _MIB
    return f"{size:,.1f}" if size < 10 else f"{size:,.0f}"


def seconds(value: float | None) -> str:
    """In s, ms or µs, whichever fits."""
    if value is None:
        return NONE
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{plain(value / size)} {unit}"
    return f"{plain(value / 1e-6)} µs"


def ratio(of: Interval) -> str:
    """`1.030 (1.012 to 1.048)`: a ratio with its 95 % interval."""
    if of.value is None:
        return NONE
    return f"{of.value:.3f}" + (f" ({of.ci95[0]:.3f} to {of.ci95[1]:.3f})" if of.ci95 else "")


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _places(value: float, half: float) -> int:
    """Decimals that show two digits of `half`, but at most six digits of the value."""
    most = 5 - math.floor(math.log10(abs(value))) if value else 2
    wanted = 1 - math.floor(math.log10(half)) if half > 0 else most
    return max(0, min(wanted, most))
