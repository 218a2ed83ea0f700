"""By length: texts of similar length share a batch, and short texts go before long ones.

Texts wait in a queue for each length class. Each text is due when it has waited for a few times as
long as it takes alone, and an idle worker takes from the class whose first text is due first. A
short text therefore goes before the long ones that came with it, and a long text is not left
behind by all short ones that come later. A batch that is not full takes shorter texts as well,
where padding them costs less than computing them later.

Inside a class, each text of a request has its turn when the texts before it would be done if the
request were alone. A request of one text therefore does not wait for all texts of a large request
that came before it.
"""

from __future__ import annotations

import bisect
import heapq

from honed.serve.dispatch.base import Rules
from honed.serve.tickets import Item

HELP = "texts of similar length together, short ones first, long ones not left waiting"
_PADDING_WORTH = 1.25  # the share of a full batch that a text costs later, times this
_PATIENCE = 4.0  # a text is due after so many times its time alone

_Turns = list[tuple[float, int, Item]]  # a heap


def make(rules: Rules) -> ByLengthQueue:
    return ByLengthQueue(rules)


class ByLengthQueue:
    """One queue for each length class; the outputs per token have queues of their own."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._edges = rules.model.edges(rules.longest)
        self._classes: list[_Turns] = [[] for _ in range(2 * len(self._edges))]
        self._added = 0  # texts that are due together keep the order in which they came

    def add(self, item: Item) -> None:
        self._added += 1
        alone_s = self._rules.model.padded_s(1, self._rules.width(item.length))
        due_s = item.turn_s + _PATIENCE * alone_s
        heapq.heappush(self._classes[self._class_of(item)], (due_s, self._added, item))

    def take(self, now_s: float, up_to: int | None = None) -> list[Item]:  # noqa: ARG002 - what is due first is so at any time
        chosen = self._choose(up_to)
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

    def _choose(self, up_to: int | None) -> int | None:
        """The class whose first text is due first; None if no text waits that may be taken."""
        due: tuple[float, int] | None = None
        for place, queue in enumerate(self._classes):
            if up_to is not None and self._edges[place % len(self._edges)] > up_to:
                continue
            head = _first(queue)
            if head is not None and (due is None or head[0] < due[0]):
                due = head[0], place
        return None if due is None else due[1]

    def _fill(self, taken: list[Item], place: int, *, padding: bool) -> None:
        """Take from one class while the batch has room; with `padding`, while that pays."""
        queue, rules = self._classes[place], self._rules
        longest = max((item.length for item in taken), default=0)
        while (head := _first(queue)) is not None:
            item = head[2]
            width = rules.width(max(longest, item.length))
            if not rules.fits(len(taken) + 1, width):
                return
            pays = rules.model.row_s(width) <= _PADDING_WORTH * item.cost_s
            if padding and not (pays or rules.model.skips_padding):
                return
            longest = max(longest, item.length)
            taken.append(heapq.heappop(queue)[2])


def _first(queue: _Turns) -> tuple[float, int, Item] | None:
    """The text that is due first; those that nobody waits for are removed."""
    while queue and queue[0][2].gone:
        heapq.heappop(queue)
    return queue[0] if queue else None
