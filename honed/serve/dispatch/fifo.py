"""First in, first out: a batch takes texts in the order of arrival until it is full.

This is the usual policy of servers, and the control that others are compared with.
"""

from __future__ import annotations

from collections import deque

from honed.serve.dispatch.base import Rules, Share, take_in_order
from honed.serve.tickets import Item

HELP = "in the order of arrival, until the batch is full"


def make(rules: Rules) -> FifoQueue:  # noqa: ARG001 - a share has the rules of a worker
    return FifoQueue()


class FifoQueue:
    """One queue for all lengths."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._waiting.append(item)

    def take(self, share: Share) -> list[Item]:
        rules = share.rules
        return take_in_order(
            self._waiting, share, lambda rows, longest: rules.fits(rows, rules.width(longest))
        )
