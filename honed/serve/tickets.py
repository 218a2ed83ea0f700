"""Tickets: what a request waits for. A ticket holds items, one for each text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from honed.serve.frames import Floats, Ids


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as token ids. `segments` is given for pairs of texts only."""

    ids: Ids
    segments: Ids | None = None

    def pair_segments(self) -> Ids:
        """The segments; zeros for a single text."""
        return np.zeros(len(self.ids), np.int32) if self.segments is None else self.segments


@dataclass(slots=True, eq=False)
class Item:
    """One text of a ticket, on its way through a queue and a worker."""

    ticket: Ticket
    place: int
    sequence: Tokens
    length: int
    cost_s: float  # its share of a full batch, as predicted
    arrived_s: float
    turn_s: float  # when its turn is: later for the later texts of a large request
    queued: bool = True
    tries: int = 0  # how often it was sent to a worker
    kills: int = 0

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.ticket.future.done()


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's texts. The future gives the rows in the order of the texts.

    `deadline_s` is a time of the loop's clock. Times are seconds.
    """

    future: asyncio.Future[list[Floats]]
    per_token: bool
    arrived_s: float
    deadline_s: float
    items: list[Item] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    left: int = 0
    queue_s: float = 0.0  # summed over the items
    infer_s: float = 0.0
    backlog_s: float = 0.0  # what the workers still had to do when it came
    predicted_s: float = 0.0  # the wait of its first text, as predicted then

    def put(self, item: Item, row: Floats) -> None:
        """The answer for one item; the last one ends the wait."""
        self.rows[item.place] = row
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(self.rows)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Batch:
    """Items that one worker computes in one call."""

    number: int
    items: list[Item]
    predicted_s: float
    width: int
    longest: int = 0  # tokens of its longest text
    per_token: bool = False
    canary: Callable[[Floats | None], None] | None = None
    canary_ids: Sequence[Ids] = ()
