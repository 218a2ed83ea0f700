"""How one types times, shares, prices and sizes: 90s, 10m, 1h; 2%, 0.02; 4.848/h; 16GiB."""

from __future__ import annotations

import re
from dataclasses import dataclass

from honed.errors import UsageError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_HOURS = {
    "s": 1 / 3600, "min": 1 / 60, "h": 1.0, "hour": 1.0, "d": 24.0, "day": 24.0,
    "month": 730.0,  # 8760 hours a year
}  # fmt: skip
_PRICE = re.compile(
    r"\s*(?P<before>[$€£¥]|[A-Z]{3})?\s*(?P<amount>\d+(?:\.\d+)?)\s*"
    r"(?P<after>[$€£¥]|[A-Z]{3})?\s*(?:/\s*(?P<unit>s|min|hour|h|day|d|month))?\s*"
)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of an hour; `currency` is spelled as it was typed, and may be empty."""

    per_hour: float
    currency: str = ""

    def written(self, amount: str) -> str:
        """The amount with its currency: $4.85, 4.85 EUR."""
        if len(self.currency) == 1:
            return f"{self.currency}{amount}"
        return f"{amount} {self.currency}".rstrip()

    def __str__(self) -> str:
        return f"{self.written(f'{self.per_hour:g}')}/h"


def seconds(text: str) -> float:
    """`90s`, `9m`, `1.5h`, or plain seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is no length of time", "write 90s, 10m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def share(text: str) -> float:
    """`2%` or `0.02`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise UsageError(f"{text!r} is no share", "write 2% or 0.02")
    return value


def price(text: str) -> Price:
    """`4.848/h`, `$0.08/min`, `3500 EUR/month` (730 hours), or plain units per hour."""
    match = _PRICE.fullmatch(text)
    twice = match is not None and match["before"] and match["after"]
    if match is None or twice or float(match["amount"]) <= 0:
        raise UsageError(f"{text!r} is no price", "write 4.848/h, '$0.08/min' or 3500EUR/month")
    currency = match["before"] or match["after"] or ""
    return Price(float(match["amount"]) / _HOURS[match["unit"] or "h"], currency)


def size_bytes(text: str) -> int:
    """`16GiB`, `512MiB`, `24GB` (decimal) or `4096B`. A number alone is refused: who writes
    memory_budget=64 means no 64 bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)(B?)\s*", text, re.IGNORECASE)
    if match is not None and not (match[2] or match[4]):
        unitless = match[1]
        raise UsageError(
            f"{text!r} is no size of memory: it has no unit", f"{unitless}MiB or {unitless}GiB"
        )
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"{text!r} is no size of memory", "write 16GiB, 512MiB or 24GB")
    base = 1024 if match[3] else 1000
    size = int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))
    if size < 1:
        raise UsageError(f"{text!r} is no size of memory", "write 16GiB, 512MiB or 24GB")
    return size


def size(count_bytes: int) -> str:
    """Bytes in the largest unit that divides them: 64MiB; `size_bytes` reads it back."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count_bytes % factor == 0:
            return f"{count_bytes // factor}{unit}"
    return f"{count_bytes}B"
