"""By length: texts of similar length share a batch, and cheap batches go first.

Texts wait in a queue for each length class. An idle worker takes from the class whose batch costs
the least for each text, which keeps the mean wait low. Long texts are not starved: a text that has
waited for `age_s` goes first, in every other batch, so that short ones do not starve either. A
batch that is not full takes shorter texts as well, where padding them costs less than computing
them later.

Inside a class, each text of a request has its turn when the texts before it would be done if the
request were alone. A request of one text therefore does not wait for all texts of a large request
that came before it.
"""

from __future__ import annotations

import bisect
import heapq

from honed.serve.dispatch.base import Rules
from honed.serve.tickets import Item

HELP = "texts of similar length together, cheap batches first, none left waiting for long"
_PADDING_WORTH = 1.25  # the share of a full batch that a text costs later, times this

_Turns = list[tuple[float, int, Item]]  # a heap


def make(rules: Rules) -> ByLengthQueue:
    return ByLengthQueue(rules)


class ByLengthQueue:
    """One queue for each length class; the outputs per token have queues of their own."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._edges = rules.model.edges(rules.longest)
        self._classes: list[_Turns] = [[] for _ in range(2 * len(self._edges))]
        self._old_was_last = False
        self._added = 0  # texts whose turns are equal keep the order in which they came
        self._widths = [rules.width(edge) for edge in self._edges] * 2

    def add(self, item: Item) -> None:
        self._added += 1
        heapq.heappush(self._classes[self._class_of(item)], (item.turn_s, self._added, item))

    def take(self, now_s: float) -> list[Item]:
        chosen = self._choose(now_s)
        if chosen is None:
            return []
        taken: list[Item] = []
        self._fill(taken, chosen, padding=False)
        first = 0 if chosen < len(self._edges) else len(self._edges)
        for shorter in range(chosen - 1, first - 1, -1):
            self._fill(taken, shorter, padding=True)
        return taken

    def _class_of(self, item: Item) -> int:
        place = bisect.bisect_left(self._edges, item.length)
        return place + len(self._edges) * item.ticket.per_token

    def _choose(self, now_s: float) -> int | None:
        """The class with the oldest text, if that has waited for too long; else the cheapest."""
        oldest: tuple[float, int] | None = None
        cheapest: tuple[float, int] | None = None
        for place, queue in enumerate(self._classes):
            head = _first(queue)
            if head is None:
                continue
            width = self._widths[place]
            rows = min(len(queue), max(1, self._rules.batch_tokens // width))
            for_each_s = self._rules.model.padded_s(rows, width) / rows
            if oldest is None or head.turn_s < oldest[0]:
                oldest = head.turn_s, place
            if cheapest is None or for_each_s < cheapest[0]:
                cheapest = for_each_s, place
        if oldest is None or cheapest is None:
            return None
        is_old = now_s - oldest[0] > self._rules.age_s
        self._old_was_last = is_old and not self._old_was_last
        return oldest[1] if self._old_was_last else cheapest[1]

    def _fill(self, taken: list[Item], place: int, *, padding: bool) -> None:
        """Take from one class while the batch has room; with `padding`, while that pays."""
        queue, rules = self._classes[place], self._rules
        longest = max((item.length for item in taken), default=0)
        while (item := _first(queue)) is not None:
            width = rules.width(max(longest, item.length))
            if not rules.fits(len(taken) + 1, width):
                return
            pays = rules.model.row_s(width) <= _PADDING_WORTH * item.cost_s
            if padding and not (pays or rules.model.skips_padding):
                return
            longest = max(longest, item.length)
            taken.append(heapq.heappop(queue)[2])


def _first(queue: _Turns) -> Item | None:
    """The text whose turn comes first; those that nobody waits for are removed."""
    while queue and queue[0][2].gone:
        heapq.heappop(queue)
    return queue[0][2] if queue else None
