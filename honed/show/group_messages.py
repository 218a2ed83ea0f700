"""Group messages of many records: messages that differ only in their numbers become one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

# A wider span says nothing of the records that it stands for: "27 to 28706 %".
_WIDEST_SPAN = 10.0
_NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


def folded(messages: Sequence[str]) -> Mapping[str, str]:
    """Each message -> the line that stands for it: both "8 calls ..." and "17 calls ..." become
    "8 to 17 calls ...". Numbers that differ by more than ten times are in different lines. Lines
    stand in the order of their first message."""
    alike: dict[str, list[str]] = defaultdict(list)
    for message in dict.fromkeys(messages):
        alike[_NUMBER.sub("#", message)].append(message)
    lines: dict[str, str] = {}
    for group in alike.values():
        for near in _near(group):
            lines |= dict.fromkeys(near, _joined(near))
    return {message: lines[message] for message in dict.fromkeys(messages)}


def _near(messages: Sequence[str], column: int = 0) -> Iterator[list[str]]:
    """The messages in groups in which no number is more than ten times another one."""
    values = {m: [abs(_value(n)) for n in _NUMBER.findall(m)] for m in messages}
    if column == len(values[messages[0]]):
        yield list(messages)
        return
    group: list[str] = []
    for message in sorted(messages, key=lambda m: values[m][column]):
        if group and values[message][column] > _WIDEST_SPAN * values[group[0]][column]:
            yield from _near(group, column + 1)
            group = []
        group.append(message)
    yield from _near(group, column + 1)


def _joined(messages: Sequence[str]) -> str:
    columns = zip(*(_NUMBER.findall(m) for m in messages), strict=True)
    spans = iter([_span(numbers) for numbers in columns])
    return _NUMBER.sub(lambda _: next(spans), messages[0])


def _span(numbers: Sequence[str]) -> str:
    """From the least to the largest, spelled as in the messages."""
    order = sorted(numbers, key=_value)
    return order[0] if order[0] == order[-1] else f"{order[0]} to {order[-1]}"


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many follow."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
