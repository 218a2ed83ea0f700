"""The dispatcher: queued texts on one side, workers on the other.

Idle workers pull: the batch is made when a worker can take it. What a worker cannot compute is
halved until the culprit is alone; texts of a worker that died are tried again one by one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Sequence

import numpy as np

from honed.serve.backlog import Backlog
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Queue, Rules
from honed.serve.frames import Answer, Floats
from honed.serve.link import Link
from honed.serve.metrics import Metrics
from honed.serve.refusals import Kind, Refusal, late, overloaded
from honed.serve.tickets import Batch, Item, Ticket, Tokens
from honed.serve.waits import Waits
from honed.workers.seat import Seat

_AHEAD_S = 0.005  # a worker gets its next batch early where its present one is this short
_LONG = 4.0  # a text is long beside one that takes so much less time
_SMOOTHING = 0.05  # of the ratio of actual to predicted times
_RATIOS = (0.5, 4.0)
_KILLS = 2  # a text that kills a worker alone, after its batch did, is refused from then on
_POISON_REMEMBERED = 1000


class Dispatcher:
    """Lives on the event loop; nothing here blocks or is called from another thread."""

    def __init__(
        self, queue: Queue, rules: Rules, metrics: Metrics, max_wait_s: float, workers: int = 1
    ) -> None:
        self.links: list[Link] = []
        self.seats: Sequence[Seat] = ()
        self.rules = rules
        self.queued = 0
        self.ratio = 1.0  # of actual to predicted seconds of batches, smoothed
        self._planned = workers  # that take every text
        self._queue = queue
        self._again: deque[list[Item]] = deque()  # batches that failed, in smaller parts
        self._backlog = Backlog(rules)
        self._waits = Waits(rules)
        self._max_wait_s = max_wait_s
        self._metrics = metrics
        self._numbers = 0
        self._poison: dict[bytes, None] = {}
        self._open: dict[Ticket, None] = {}
        self._random = random.Random()

    @property
    def model(self) -> CostModel:
        return self.rules.model

    @property
    def clock_s(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def wait_s(self) -> float:
        """How long the workers are predicted to need for everything that they have now."""
        now_s, ratio = self.clock_s, self.ratio
        running_s = sum(link.remaining_s(now_s, ratio) for link in self.links)
        return (self._backlog.seconds() * ratio + running_s) / self._workers

    @property
    def _workers(self) -> int:
        """The workers that can answer; where all are being started again, those that will.

        Express workers do not count, because they take their time from the others.
        """
        return sum(link.ready and link.up_to is None for link in self.links) or self._planned

    def admit(self, lengths: Sequence[int], timeout_s: float) -> None:
        """Raise Refusal unless the whole request is predicted to be answered in time.

        All requests that come at a moment meet the same condition, whatever their lengths: that
        the texts which wait longest would be answered in time.
        """
        texts, workers = len(lengths), self._workers
        limit_s = min(self._max_wait_s, timeout_s)
        alone_s = self._backlog.seconds_of(lengths) * self.ratio
        own_s = alone_s / min(workers, texts)
        if own_s > limit_s and texts > 1:
            raise Refusal(
                Kind.TOO_LARGE,
                f"the {texts} texts of this request take about {own_s:.1f} s, more than "
                f"max_wait_s={limit_s:g}: send fewer texts in one request",
                "too_large",
            )
        now_s = self.clock_s
        self._waits.came(lengths, own_s, now_s)
        if self.queued:
            waited_s = self._waits.to_answer(lengths, self.wait_s(), now_s)
            waited_s += self._waits.takes(own_s, limit_s, now_s)
            if waited_s > limit_s:
                raise overloaded(waited_s - limit_s, self._random.random())

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
        ticket.backlog_s = self.wait_s()
        ticket.predicted_s = self._waits.of(len(texts[0].ids), ticket.backlog_s)
        turn_s, workers = now_s, self._workers
        for place, text in enumerate(texts):
            length = len(text.ids)
            cost_s = self._backlog.share_s(length)
            item = Item(ticket, place, text, length, cost_s, now_s, turn_s)
            turn_s += cost_s / workers
            ticket.items.append(item)
            self._backlog.add(length)
            self._queue.add(item)
        self.queued += len(texts)
        self._open[ticket] = None
        ticket.future.add_done_callback(lambda _: self._closed(ticket))
        self._metrics.queue_size(self.queued)
        self.pump()
        return ticket

    def pump(self) -> None:
        """Give batches to idle workers, the longest idle first; then to those that are soon, and
        to express workers where short texts are held up."""
        if not self.queued:
            return
        every = [link for link in self.links if link.up_to is None]
        idle = [link for link in every if link.takes_more(0.0)]
        for link in sorted(idle, key=lambda link: link.heard_s):
            if not self._give(link):
                return
        for link in every:
            if link.takes_more(_AHEAD_S) and not self._give(link):
                return
        for link in self.links:
            if link.up_to and link.takes_more(0.0) and self._held_up(every, link.up_to):
                self._give(link)

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

    def _give(self, link: Link) -> bool:
        """Send one batch, if anything waits that this worker takes."""
        items = self._next() if link.up_to is None else self._next_short(link.up_to)
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
        self._learn(batch, answer.seconds)
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

    def _next(self) -> list[Item]:
        while self._again:
            items = [item for item in self._again.popleft() if not item.gone]
            if items:
                return self._out(items)
        return self._out(self._queue.take(self.clock_s))

    def _next_short(self, up_to: int) -> list[Item]:
        return self._out(self._queue.take(self.clock_s, up_to))

    def _out(self, items: list[Item]) -> list[Item]:
        for item in items:
            self._unqueue(item)
        return items

    def _unqueue(self, item: Item) -> None:
        if item.queued:
            item.queued = False
            self.queued -= 1
            self._backlog.remove(item.length)

    def _send(self, link: Link, items: list[Item]) -> None:
        now_s = self.clock_s
        lengths = [item.length for item in items]
        longest = max(lengths)
        width = self.rules.width(longest)
        self._numbers = (self._numbers + 1) & 0xFFFFFFFF
        predicted_s = self.model.batch_s(lengths, width)
        per_token = items[0].ticket.per_token
        batch = Batch(self._numbers, items, predicted_s, width, longest, per_token)
        for item in items:
            waited_s = now_s - item.arrived_s
            item.ticket.queue_s += waited_s
            if item.place == 0 and not item.tries:
                self._waits.learn(item.length, item.ticket.backlog_s, waited_s)
            item.tries += 1
        self._metrics.batch(lengths, width)
        link.send(batch, self.ratio)

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
            self._backlog.add(item.length)
        if items:
            self._again.append(items)

    def _closed(self, ticket: Ticket) -> None:
        self._open.pop(ticket, None)
        if ticket.left:  # cancelled, late or failed: what is still queued is not computed
            for item in ticket.items:
                self._unqueue(item)
            self._metrics.queue_size(self.queued)

    def _learn(self, batch: Batch, seconds: float) -> None:
        if batch.predicted_s > 0 and batch.items:
            actual = min(max(seconds / batch.predicted_s, _RATIOS[0]), _RATIOS[1])
            self.ratio += _SMOOTHING * (actual - self.ratio)

    def _remember(self, text: Tokens) -> None:
        self._poison[_fingerprint(text)] = None
        if len(self._poison) > _POISON_REMEMBERED:
            del self._poison[next(iter(self._poison))]


def _fingerprint(text: Tokens) -> bytes:
    return hashlib.sha256(text.ids.tobytes()).digest()
