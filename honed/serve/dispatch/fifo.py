"""First in, first out: a batch takes texts in the order of arrival until it is full.

This is the usual policy of servers, and the control that others are compared with.
"""

from __future__ import annotations

from collections import deque

from honed.serve.dispatch.base import Rules, drop_gone
from honed.serve.tickets import Item

HELP = "in the order of arrival, until the batch is full"


def make(rules: Rules) -> FifoQueue:
    return FifoQueue(rules)


class FifoQueue:
    """One queue for all lengths."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._waiting.append(item)

    def take(self, now_s: float, up_to: int | None = None) -> list[Item]:  # noqa: ARG002 - the order is the arrival's
        taken: list[Item] = []
        longest = 0
        while (item := drop_gone(self._waiting)) is not None:
            longest = max(longest, item.length)
            if up_to is not None and longest > up_to:
                break
            if taken and (
                not self._rules.fits(len(taken) + 1, self._rules.width(longest))
                or item.ticket.per_token != taken[0].ticket.per_token
            ):
                break
            taken.append(self._waiting.popleft())
        return taken
