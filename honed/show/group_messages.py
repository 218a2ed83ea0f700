"""Many records' messages as few lines: those that differ only in their numbers become one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


def folded(messages: Sequence[str]) -> Mapping[str, str]:
    """Each message to the line it is part of: "8 calls ..." and "17 calls ..." both to
    "8 to 17 calls ...". Lines come in the order of their first message."""
    alike: dict[str, list[str]] = defaultdict(list)
    for message in dict.fromkeys(messages):
        alike[_NUMBER.sub("#", message)].append(message)
    found: dict[str, str] = {}
    for own in alike.values():
        line = _joined(own)
        found |= dict.fromkeys(own, line)
    return found


def _joined(own: Sequence[str]) -> str:
    columns = zip(*(_NUMBER.findall(m) for m in own), strict=True)
    spans = iter([_span(numbers) for numbers in columns])
    return _NUMBER.sub(lambda _: next(spans), own[0])


def _span(numbers: Sequence[str]) -> str:
    """From the least to the largest, as they were written."""
    order = sorted(numbers, key=lambda n: float(n.replace(",", "")))
    return order[0] if order[0] == order[-1] else f"{order[0]} to {order[-1]}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
