"""What every policy file offers: a queue that gives a worker its next batch when it is idle.

No policy waits for a batch to fill: whatever is queued when a worker asks can be taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import honed.discovery
from honed.serve.cost import CostModel
from honed.serve.tickets import Item

_ROOM = "honed.serve.dispatch"
_LONG_PLAN_S = 0.05
_FEW = frozenset(b << i for i in range(12) for b in (1, 3))  # 1, 2, 3, 4, 6, 8, 12, 16, ...


@dataclass(frozen=True)
class Rules:
    """What bounds a batch: its tokens with padding, its texts, and its predicted seconds.

    `width` gives the width of a batch from its longest text.
    """

    model: CostModel
    longest: int
    width: Callable[[int], int]
    batch_tokens: int
    batch_rows: int
    quantum_s: float

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many texts a planned batch may hold: any count, or few for an engine that plans
        each shape anew."""
        counts = range(1, self.batch_rows + 1)
        if not self.model.plans_shapes:
            return tuple(counts)
        return tuple(count for count in counts if count in _FEW)

    def shapes(self, up_to: int | None = None) -> list[tuple[int, int]]:
        """Texts and width of every planned batch, small batches first, for an engine that plans
        each shape anew; texts have `up_to` tokens at most. None where planning would hold up
        texts that come meanwhile for too long."""
        if not self.model.plans_shapes or self.model.plan_s > _LONG_PLAN_S:
            return []
        lengths = range(1, min(self.longest, up_to or self.longest) + 1)
        widths = sorted({self.width(length) for length in lengths})
        return [(s, w) for s in self.sizes for w in widths if s <= self.most_rows(w)]

    def fits(self, rows: int, width: int) -> bool:
        """Whether a batch of this shape may be made; a single text always may."""
        if rows <= 1:
            return True
        return (
            rows <= self.batch_rows
            and rows * width <= self.batch_tokens
            and self.model.padded_s(rows, width) <= self.quantum_s
        )

    def full_rows(self, length: int) -> int:
        """How many texts of this length a full batch holds."""
        return self.most_rows(self.width(length))

    def most_rows(self, width: int) -> int:
        """How many texts a batch of this width may hold; always one."""
        row_s = max(self.model.row_s(width), 1e-12)
        in_time = (self.quantum_s - self.model.fixed_s) / row_s
        return max(1, int(min(self.batch_rows, self.batch_tokens // width, in_time)))


class Share(Protocol):
    """What one worker takes of the queue, and what bounds its batches."""

    @property
    def rules(self) -> Rules:
        """The rules of a batch that this worker computes."""

    def takes(self, item: Item) -> bool:
        """Whether the worker takes this text. Asked in the order of the queue."""


@dataclass(frozen=True)
class Lengths:
    """The share of texts with `up_to` tokens at most; None: all."""

    rules: Rules
    up_to: int | None = None

    def takes(self, item: Item) -> bool:
        return self.up_to is None or item.length <= self.up_to


class Queue(Protocol):
    """Waiting items, in the order that a policy gives them."""

    def add(self, item: Item) -> None:
        """One more item. A text that was queued before may come again."""

    def take(self, share: Share) -> list[Item]:
        """The next batch of a worker with this share; empty if nothing waits that it takes. Items
        that nobody waits for are dropped.
        """


class Policy(Protocol):
    """The names that a policy file defines."""

    HELP: str

    def make(self, rules: Rules) -> Queue:
        """An empty queue."""


def load_policy(name: str) -> Policy:
    return cast(Policy, honed.discovery.load(_ROOM, name, Policy))


def policy_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def take_in_order(
    queue: deque[Item], share: Share, fits: Callable[[int, int], bool]
) -> list[Item]:
    """The first items of this share that share a batch: as many as `fits`, which is asked with
    their number and the longest length, and with one kind of outputs. The others stay."""
    taken: list[Item] = []
    passed: list[Item] = []
    longest = 0
    while queue:
        item = queue.popleft()
        if item.gone:
            continue
        if not share.takes(item):
            passed.append(item)
            continue
        longest = max(longest, item.length)
        if taken and (
            not fits(len(taken) + 1, longest) or item.ticket.per_token != taken[0].ticket.per_token
        ):
            passed.append(item)
            break
        taken.append(item)
    queue.extendleft(reversed(passed))
    return taken
