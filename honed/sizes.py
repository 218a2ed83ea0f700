"""How one types instances of different sizes: 8+16+24, or 2x8+16 for 8, 8 and 16 cores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from honed.errors import UsageError

_PART = re.compile(r"(?:(\d+)x)?(\d+)")
_HOW = "sizes=8+16+24, or sizes=2x8+16 for two instances of 8 cores and one of 16"


def parse(text: str) -> tuple[int, ...]:
    """The cores of each instance, the smallest first; UsageError, with what to type, otherwise."""
    cores: list[int] = []
    for part in text.replace(" ", "").split("+"):
        found = _PART.fullmatch(part)
        count, size = (int(found[1] or 1), int(found[2])) if found else (0, 0)
        if not count or not size:
            raise UsageError(f"sizes={text}: {part!r} is no number of cores", _HOW)
        cores += [size] * count
    if len(set(cores)) == 1:
        raise UsageError(
            f"sizes={text}: all instances have the same size",
            f"instances={len(cores)} threads={cores[0]}",
        )
    return tuple(sorted(cores))


def spelled(cores: Sequence[int]) -> str:
    """The one spelling of these sizes: 2x8+16."""
    counts = sorted(Counter(cores).items())
    return "+".join(f"{count}x{size}" if count > 1 else str(size) for size, count in counts)


def usual(cores: int) -> tuple[str, ...]:
    """Divisions of so many cores that are worth a try: a third and the rest, and 1 to 2 to 3.

    The second is that of the published measurements: 8, 16 and 24 of 48 cores.
    """
    third, sixth = cores // 3, cores // 6
    tried = [spelled((third, cores - third))] if third else []
    if sixth:
        tried.append(spelled((sixth, 2 * sixth, cores - 3 * sixth)))
    return tuple(tried)
