"""Group messages of many records: messages that differ only in their numbers become one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


def folded(messages: Sequence[str]) -> Mapping[str, str]:
    """Each message -> the line that stands for it: both "8 calls ..." and "17 calls ..." become
    "8 to 17 calls ...". Lines stand in the order of their first message."""
    alike: dict[str, list[str]] = defaultdict(list)
    for message in dict.fromkeys(messages):
        alike[_NUMBER.sub("#", message)].append(message)
    lines: dict[str, str] = {}
    for group in alike.values():
        lines |= dict.fromkeys(group, _joined(group))
    return lines


def _joined(messages: Sequence[str]) -> str:
    columns = zip(*(_NUMBER.findall(m) for m in messages), strict=True)
    spans = iter([_span(numbers) for numbers in columns])
    return _NUMBER.sub(lambda _: next(spans), messages[0])


def _span(numbers: Sequence[str]) -> str:
    """From the least to the largest, spelled as in the messages."""
    order = sorted(numbers, key=lambda n: float(n.replace(",", "")))
    return order[0] if order[0] == order[-1] else f"{order[0]} to {order[-1]}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many follow."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
