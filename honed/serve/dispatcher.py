"""The dispatcher: queued texts on one side, workers on the other.

Idle workers pull: the batch is made when a worker can take it. What a worker cannot compute is
halved until the culprit is alone; texts of a worker that died are tried again one by one.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from honed.serve.admission import Admission
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Rules
from honed.serve.frames import Answer, Floats
from honed.serve.groups import Group, Surplus, longest_help_s
from honed.serve.link import Link
from honed.serve.metrics import Metrics
from honed.serve.refusals import Kind, Refusal, late
from honed.serve.tickets import Batch, Item, Ticket, Tokens
from honed.workers.seat import Seat

_AHEAD_S = 0.005  # a worker gets its next batch early where its present one is this short
_LONG = 4.0  # a text is long beside one that takes so much less time
_KILLS = 2  # a text that kills a worker alone, after its batch did, is refused from then on
_POISON_REMEMBERED = 1000


class Dispatcher:
    """Lives on the event loop; nothing here blocks or is called from another thread.

    `groups` are in the order of their texts' lengths.
    """

    def __init__(self, groups: Sequence[Group], metrics: Metrics, max_wait_s: float) -> None:
        self.links: list[Link] = []  # the admission looks at the same list
        self.seats: Sequence[Seat] = ()
        self.groups = tuple(groups)
        self._admission = Admission(self.groups, self.links, max_wait_s)
        self.queued = 0
        self._again: deque[list[Item]] = deque()  # batches that failed, in smaller parts
        self._max_wait_s = max_wait_s
        self._metrics = metrics
        self._numbers = 0
        self._poison: dict[bytes, None] = {}
        self._open: dict[Ticket, None] = {}

    @property
    def rules(self) -> Rules:
        """Those of the workers that take the longest texts."""
        return self.groups[-1].rules

    @property
    def model(self) -> CostModel:
        return self.rules.model

    @property
    def ratio(self) -> float:
        """Actual over predicted seconds of batches, of the group where it is largest."""
        return max(group.ratio for group in self.groups)

    @property
    def clock_s(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def wait_s(self) -> float:
        """How long the workers are predicted to need for everything that they have now."""
        return self._admission.wait_s(self.clock_s)

    def admit(self, lengths: Sequence[int], timeout_s: float) -> None:
        """Raise Refusal unless the whole request is predicted to be answered in time."""
        waiting = self.queued > 0
        self._admission.check(lengths, timeout_s, self.clock_s, others_wait=waiting)

    def submit(self, texts: Sequence[Tokens], timeout_s: float, *, per_token: bool) -> Ticket:
        """Queue all texts of one request. Raises Refusal for a text that has killed a worker."""
        if self._poison:
            for text in texts:
                if _fingerprint(text) in self._poison:
                    raise Refusal(Kind.BACKEND, "this text has ended a worker before", "poison")
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if not any(link.ready for link in self.links):  # they are being started again
            timeout_s = min(timeout_s, self._max_wait_s)
        ticket = Ticket(loop.create_future(), per_token, now_s, now_s + timeout_s)
        ticket.rows = [None] * len(texts)
        ticket.left = len(texts)
        admission = self._admission
        first = admission.group_of(len(texts[0].ids))
        ticket.backlog_s = admission.wait_of(first, now_s)
        ticket.predicted_s = first.waits.of(len(texts[0].ids), ticket.backlog_s)
        turns_s = dict.fromkeys(self.groups, now_s)
        workers = {group: admission.workers(group) for group in self.groups}
        for place, text in enumerate(texts):
            length = len(text.ids)
            group = admission.group_of(length)
            cost_s = group.backlog.share_s(length)
            item = Item(ticket, place, text, length, cost_s, now_s, turns_s[group])
            turns_s[group] += cost_s / workers[group]
            ticket.items.append(item)
            group.came_s = now_s
            group.backlog.add(length)
            group.queue.add(item)
        self.queued += len(texts)
        self._open[ticket] = None
        ticket.future.add_done_callback(lambda _: self._closed(ticket))
        self._metrics.queue_size(self.queued)
        self.pump()
        return ticket

    def pump(self) -> None:
        """Give batches to idle workers, the longest idle first; then to those that are soon, and
        to express workers where short texts are held up. Workers that are still idle help those
        of other groups."""
        if not self.queued:
            return
        every = [link for link in self.links if link.up_to is None]
        idle = [link for link in every if link.takes_more(0.0)]
        without: set[Group] = set()  # groups of which no text waits
        for link in [*sorted(idle, key=lambda link: link.heard_s), *every]:
            able = link.group not in without and link.takes_more(_AHEAD_S)
            if able and not self._give(link):
                without.add(link.group)
        for link in self.links:
            if link.up_to and link.takes_more(0.0) and self._held_up(every, link.up_to):
                self._give(link)
        if len(self.groups) > 1:
            for link in (each for each in idle if each.takes_more(0.0)):
                self._help(link)

    def _held_up(self, links: Sequence[Link], up_to: int) -> bool:
        """Whether every worker that takes all texts is at one that is long beside `up_to`.

        At shorter ones they are busy with much traffic of one kind. Express workers would then
        only make its batches smaller.
        """
        long_s = _LONG * self.model.padded_s(1, up_to)
        return all(
            link.running and self.model.padded_s(1, link.running[0].longest) >= long_s
            for link in links
            if link.ready
        )

    def _help(self, link: Link) -> None:
        """Let an idle worker take texts of a group whose workers are all busy, if it would answer
        them sooner; of the group that needs longest first."""
        now_s, helper = self.clock_s, link.group
        most_s = longest_help_s(helper, now_s)
        by_wait = sorted(
            self.groups, key=lambda group: self._admission.wait_of(group, now_s), reverse=True
        )
        for owner in by_wait:
            shortest_s = helper.alone_s(owner.over + 1)
            if owner is helper or not owner.backlog.texts or shortest_s > most_s:
                continue
            others = [each for each in self.links if each.group is owner and each.ready]
            if any(each.takes_more(0.0) for each in others):
                continue
            # Where all of them are being started again, nobody knows for how long.
            ends_s = (each.remaining_s(now_s, owner.ratio) for each in others)
            free_s = min(ends_s, default=math.inf)
            share = Surplus(owner, helper, self._admission.workers(owner), free_s, most_s)
            if items := self._out(owner.queue.take(share)):
                self._send(link, items)
                return

    def _give(self, link: Link) -> bool:
        """Send one batch, if anything waits that this worker takes."""
        items = self._failed_before() if link.up_to is None else []
        items = items or self._out(link.group.queue.take(link.share))
        if items:
            self._send(link, items)
        return bool(items)

    def expire(self) -> None:
        """Drop what is past its deadline. Called several times a second."""
        now_s = self.clock_s
        for ticket in [t for t in self._open if now_s > t.deadline_s]:
            ticket.fail(late(ticket.deadline_s - ticket.arrived_s))

    def waiting_longer_than(self, wait_s: float) -> list[Ticket]:
        limit_s = self.clock_s - wait_s
        return [ticket for ticket in self._open if ticket.arrived_s < limit_s]

    def answered(self, link: Link, batch: Batch, answer: Answer) -> None:
        """A worker has answered a batch: rows, or why there are none."""
        if answer.rows is None:
            self._failed(batch.items, answer.failure)
            self.pump()
            return
        if batch.items:
            link.group.learn(batch.predicted_s, answer.seconds)
        self._deliver(link, batch, answer.rows, answer.seconds)
        self.pump()

    def lost(self, items: list[Item], why: str) -> None:
        """A worker died, or was ended because it gave no answer, with these items."""
        for item in items:
            item.kills += 1
            if len(items) == 1 and item.kills >= _KILLS:
                self._remember(item.sequence)
                item.ticket.fail(
                    Refusal(
                        Kind.BACKEND, f"`inputs[{item.place}]` ended a worker: {why}", "poison"
                    )
                )
            else:
                self._try_again([item])
        self.pump()

    def requeue(self, items: list[Item]) -> None:
        """A worker died before it came to these items."""
        self._try_again(items)
        self.pump()

    def _failed_before(self) -> list[Item]:
        """A part of a batch that failed, or that a worker left; empty if there is none."""
        while self._again:
            items = [item for item in self._again.popleft() if not item.gone]
            if items:
                return self._out(items)
        return []

    def _out(self, items: list[Item]) -> list[Item]:
        for item in items:
            self._unqueue(item)
        return items

    def _unqueue(self, item: Item) -> None:
        if item.queued:
            item.queued = False
            self.queued -= 1
            self._admission.group_of(item.length).backlog.remove(item.length)

    def _send(self, link: Link, items: list[Item]) -> None:
        now_s = self.clock_s
        lengths = [item.length for item in items]
        longest = max(lengths)
        rules = link.group.rules
        width = rules.width(longest)
        self._numbers = (self._numbers + 1) & 0xFFFFFFFF
        predicted_s = rules.model.batch_s(lengths, width)
        per_token = items[0].ticket.per_token
        batch = Batch(self._numbers, items, predicted_s, width, longest, per_token)
        for item in items:
            waited_s = now_s - item.arrived_s
            item.ticket.queue_s += waited_s
            if item.place == 0 and not item.tries:
                waits = self._admission.group_of(item.length).waits
                waits.learn(item.length, item.ticket.backlog_s, waited_s)
            item.tries += 1
        self._metrics.batch(lengths, width)
        link.send(batch, link.group.ratio)

    def _deliver(self, link: Link, batch: Batch, rows: Floats, seconds: float) -> None:
        finite = np.asarray(np.isfinite(rows).all(axis=1))
        all_finite = bool(finite.all())
        start = 0
        for item in batch.items:
            end = start + (item.length if batch.per_token else 1)
            item.ticket.infer_s += seconds
            if all_finite or bool(finite[start:end].all()):
                item.ticket.put(item, rows[start:end] if batch.per_token else rows[start])
            else:
                message = f"`inputs[{item.place}]`: the output is not finite (NaN or infinity)"
                item.ticket.fail(Refusal(Kind.BACKEND, message, "not_finite"))
            start = end
        link.answered_rows += len(batch.items)

    def _failed(self, items: list[Item], why: str) -> None:
        """Halve the batch until the culprit is alone."""
        if len(items) == 1:
            item = items[0]
            item.ticket.fail(Refusal(Kind.BACKEND, f"`inputs[{item.place}]`: {why}", "inference"))
            return
        middle = len(items) // 2
        self._try_again(items[:middle])
        self._try_again(items[middle:])

    def _try_again(self, items: list[Item]) -> None:
        items = [item for item in items if not item.gone]
        for item in items:
            item.queued = True
            self.queued += 1
            self._admission.group_of(item.length).backlog.add(item.length)
        if items:
            self._again.append(items)

    def _closed(self, ticket: Ticket) -> None:
        self._open.pop(ticket, None)
        if ticket.left:  # cancelled, late or failed: what is still queued is not computed
            for item in ticket.items:
                self._unqueue(item)
            self._metrics.queue_size(self.queued)

    def _remember(self, text: Tokens) -> None:
        self._poison[_fingerprint(text)] = None
        if len(self._poison) > _POISON_REMEMBERED:
            del self._poison[next(iter(self._poison))]


def _fingerprint(text: Tokens) -> bytes:
    return hashlib.sha256(text.ids.tobytes()).digest()
