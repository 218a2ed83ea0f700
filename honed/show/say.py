"""Words and colours that every picture of a record shares."""

from __future__ import annotations

import math
from typing import Any

from rich.text import Text

from honed.show.numbers import NONE

_STYLES = {"ok": "green", "unproven": "yellow", "interrupted": "yellow"}


def status(name: str, text: str = "") -> Text:
    """Green when it holds, yellow when it is not known to, red when it does not."""
    return Text(text or name, style=_STYLES.get(name, "red"))


def word(value: Any) -> str:
    """As one types it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def cosine(value: float | None) -> str:
    """Rounded down: 1.00000 is only for equal."""
    return NONE if value is None else f"{math.floor(value * 1e5 + 1e-6) / 1e5:.5f}"
