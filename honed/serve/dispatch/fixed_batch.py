"""Batches of a fixed number of texts, whatever their lengths: a control for comparisons."""

from __future__ import annotations

from collections import deque

from honed.serve.dispatch.base import Rules, Share, take_in_order
from honed.serve.tickets import Item

HELP = "in the order of arrival, batch_rows texts at most, whatever their lengths"


def make(rules: Rules) -> FixedQueue:  # noqa: ARG001 - a share has the rules of a worker
    return FixedQueue()


class FixedQueue:
    """One queue for all lengths; only the number of texts bounds a batch."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._waiting.append(item)

    def take(self, share: Share) -> list[Item]:
        most = share.rules.batch_rows
        return take_in_order(self._waiting, share, lambda rows, _: rows <= most)
