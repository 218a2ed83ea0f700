"""By length: texts of similar length share a batch, and short texts go before long ones.

Each text is due when it has waited for a few times as long as it takes alone, and the text that is
due first is in the next batch. A short text therefore goes before the long ones that came with it,
and a long text is not left behind by all short ones that come later.

Which texts share its batch is planned: the texts that are due next are put in the order of their
lengths and cut into the batches that take the least time together, as the cost model says; the
batch with the first text is taken. Large batches save the fixed cost of calls, and batches of
similar lengths save padding; the plan weighs both.

Each text of a request has its turn when the texts before it would be done if the request were
alone. A request of one text therefore does not wait for all texts of a large request before it.
"""

from __future__ import annotations

import itertools
import math
from bisect import insort
from collections.abc import Sequence

from honed.serve.dispatch.base import Rules, Share
from honed.serve.tickets import Item

HELP = "texts of similar length together, short ones first, long ones not left waiting"
_PATIENCE = 4.0  # a text is due after so many times its time alone
# Texts that are planned together. More make better batches, and waits that differ more.
_PLANNED = 32

_Entry = tuple[float, int, Item]  # when it is due, its number, the text


def make(rules: Rules) -> ByLengthQueue:
    return ByLengthQueue(rules)


class ByLengthQueue:
    """Waiting texts in the order in which they are due."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting: list[_Entry] = []
        self._added = 0  # texts that are due together keep the order in which they came

    def add(self, item: Item) -> None:
        self._added += 1
        alone_s = self._rules.model.padded_s(1, self._rules.width(item.length))
        insort(self._waiting, (item.turn_s + _PATIENCE * alone_s, self._added, item))

    def take(self, share: Share) -> list[Item]:
        planned = self._next(share)
        if not planned:
            return []
        first = planned[0]
        planned.sort(key=lambda entry: (entry[2].length, entry[0]))
        sizes = best_batches([entry[2].length for entry in planned], share.rules)
        ends = itertools.accumulate(sizes)
        batches = (planned[end - size : end] for end, size in zip(ends, sizes, strict=True))
        batch = next(each for each in batches if first in each)
        for entry in batch:
            self._waiting.remove(entry)
        return [item for _, _, item in batch]

    def _next(self, share: Share) -> list[_Entry]:
        """The texts of this share that are due next, of one kind of outputs; those that nobody
        waits for are removed."""
        found: list[_Entry] = []
        gone = []
        for entry in self._waiting:
            item = entry[2]
            if item.gone:
                gone.append(entry)
            elif share.takes(item) and (
                not found or item.ticket.per_token == found[0][2].ticket.per_token
            ):
                found.append(entry)
                if len(found) == _PLANNED:
                    break
        for entry in gone:
            self._waiting.remove(entry)
        return found


def best_batches(lengths: Sequence[int], rules: Rules) -> list[int]:
    """How many texts each batch gets, so that all batches together take the least time.

    `lengths` are in ascending order, and each batch takes neighbours. The least time of the first
    n texts is that of their last batch and the least time of the texts before it.
    """
    model = rules.model
    least_s, last, rows_s = [0.0], [0], [0.0]
    for count, length in enumerate(lengths, 1):
        width = rules.width(length)
        row_s = model.row_s(length if model.skips_padding else width)
        rows_s.append(rows_s[-1] + row_s)
        best_s, best = math.inf, 1
        most = min(count, rules.most_rows(width))
        for size in itertools.takewhile(most.__ge__, rules.sizes):
            # Where padding is computed, every text costs as much as the longest one.
            texts_s = rows_s[-1] - rows_s[-1 - size] if model.skips_padding else size * row_s
            whole_s = least_s[count - size] + model.fixed_s + texts_s
            if whole_s < best_s:
                best_s, best = whole_s, size
        least_s.append(best_s)
        last.append(best)
    sizes, count = [], len(lengths)
    while count:
        sizes.append(last[count])
        count -= last[count]
    return sizes[::-1]
