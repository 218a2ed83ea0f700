"""A few batches that stand for all: chosen by their work, the same for every setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from honed.models.inputs import InputSet

_TAIL = 0.99
_MEMBERS = 4  # of a group, that are looked at: enough to meet the mean


def part(inputs: InputSet, count: int | None) -> tuple[int, ...]:
    """The places of `count` batches, in their order; of all batches where there are no more.

    The batches, sorted by their work, are cut into `count` groups of one size, and one batch of
    each group is taken. Which one is decided so that the mean work of the part is that of all
    batches; the groups give it the same spread.
    """
    works = _works(inputs)
    everything = len(works)
    if count is None or count >= everything:
        return tuple(range(everything))
    order = sorted(range(everything), key=lambda place: (works[place], place))
    cuts = [group * everything // count for group in range(count + 1)]
    groups = [_spread(order[first:end]) for first, end in itertools.pairwise(cuts)]
    wanted = sum(works) / everything * count
    chosen = [group[len(group) // 2] for group in groups]
    off = sum(works[place] for place in chosen) - wanted
    while True:
        best = min(_replacements(groups, chosen, works), key=lambda change: abs(off + change[0]))
        if abs(off + best[0]) >= abs(off):
            return tuple(sorted(chosen))
        off += best[0]
        for group, place in best[1].items():
            chosen[group] = place


def tail(inputs: InputSet) -> int:
    """The place of the batch that is larger than 99 of 100: calls with it and with larger ones
    are those that a 99th percentile is about."""
    works = _works(inputs)
    order = sorted(range(len(works)), key=lambda place: (works[place], place))
    return order[max(0, math.ceil(_TAIL * len(order)) - 1)]


def _replacements(
    groups: Sequence[Sequence[int]], chosen: Sequence[int], works: Sequence[float]
) -> Iterator[tuple[float, dict[int, int]]]:
    """Other batches for one group and for two, each with the work that they add."""
    single = [
        (works[place] - works[chosen[number]], number, place)
        for number, group in enumerate(groups)
        for place in group
    ]
    for (one, number, place), (other, second, instead) in itertools.combinations(single, 2):
        if number != second:
            yield one + other, {number: place, second: instead}


def _spread(group: Sequence[int]) -> list[int]:
    """At most _MEMBERS of a group, evenly spread over it."""
    places = np.linspace(0, len(group) - 1, min(_MEMBERS, len(group))).round().astype(int)
    return [group[place] for place in places]


def _works(inputs: InputSet) -> list[float]:
    """Tokens with padding, and without it, because some engines skip it."""
    return [
        float(batch["input_ids"].size + batch["attention_mask"].sum()) for batch in inputs.batches
    ]
