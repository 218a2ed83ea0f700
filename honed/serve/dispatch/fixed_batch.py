"""Batches of a fixed number of texts, whatever their lengths: a control for comparisons."""

from __future__ import annotations

from collections import deque

from honed.serve.dispatch.base import Rules, drop_gone
from honed.serve.tickets import Item

HELP = "in the order of arrival, batch_rows texts at most, whatever their lengths"


def make(rules: Rules) -> FixedQueue:
    return FixedQueue(rules)


class FixedQueue:
    """One queue for all lengths; only the number of texts bounds a batch."""

    def __init__(self, rules: Rules) -> None:
        self._rows = rules.batch_rows
        self._waiting: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._waiting.append(item)

    def take(self, now_s: float, up_to: int | None = None) -> list[Item]:  # noqa: ARG002 - the order is the arrival's
        taken: list[Item] = []
        while len(taken) < self._rows and (item := drop_gone(self._waiting)) is not None:
            if taken and item.ticket.per_token != taken[0].ticket.per_token:
                break
            if up_to is not None and item.length > up_to:
                break
            taken.append(self._waiting.popleft())
        return taken
