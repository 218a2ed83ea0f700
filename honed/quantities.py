"""Words that people type for times and shares: 90s, 10m, 1h; 2%, 0.02."""

from __future__ import annotations

import re

from honed.errors import UsageError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


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
