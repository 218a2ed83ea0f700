"""Link: the front's side of one worker. It sends batches, and hears answers or the end."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from honed.serve.dispatch.base import Lengths
from honed.serve.frames import Answer, AnswerReader, Call, call_frame
from honed.serve.groups import Group
from honed.serve.tickets import Batch

if TYPE_CHECKING:
    from honed.serve.crew import Started

# A worker that takes this many times longer than predicted, and at least so long, hangs.
_HANG_RATIO, _HANG_LEAST_S = 10.0, 5.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a link: a batch was answered; the worker is gone."""

    answered: Callable[[Link, Batch, Answer], None]
    gone: Callable[[Link], None]


class Link(asyncio.Protocol):
    """One worker as the event loop sees it; `ready` from its first canary until its end.

    An express worker takes only texts of `up_to` tokens at most; for others it is None, and they
    take every text of their group.
    """

    def __init__(
        self, started: Started, group: Group, listener: Listener, up_to: int | None = None
    ) -> None:
        self.group = group
        self.up_to = up_to
        self.share = Lengths(group.rules, up_to)
        self.seat = started.seat
        self.worker = started.worker
        self.ready = False
        self.answered_rows = 0
        self.heard_s = 0.0  # when it last answered, by the loop's clock
        self.running: deque[Batch] = deque()
        self._busy_until_s = 0.0
        self._deadline_s = math.inf
        self._listener = listener
        self._reader = AnswerReader()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from the class of asyncio.
        self._transport = cast(asyncio.WriteTransport, transport)
        self.heard_s = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        for answer in self._reader.feed(data):
            batch = self.running.popleft()
            now_s = self.heard_s = asyncio.get_running_loop().time()
            self._set_deadline(now_s)
            if batch.canary is not None:
                batch.canary(answer.rows)
            self._listener.answered(self, batch, answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        self.ready = False
        self._transport = None
        self._listener.gone(self)

    def takes_more(self, ahead_s: float) -> bool:
        """Whether it is idle, or so nearly that the next batch should wait in its socket."""
        if not self.ready or len(self.running) > 1:
            return False
        return not self.running or self.running[0].predicted_s < ahead_s

    def send(self, batch: Batch, ratio: float = 1.0) -> None:
        """Send a batch. `ratio` is how much longer batches take than predicted at present."""
        assert self._transport is not None
        now_s = asyncio.get_running_loop().time()
        texts = [item.sequence for item in batch.items]
        ids = [text.ids for text in texts] or list(batch.canary_ids)
        pairs = any(text.segments is not None for text in texts)
        segments = [text.pair_segments() for text in texts] if pairs else None
        self.running.append(batch)
        if len(self.running) == 1:
            self._set_deadline(now_s)
        self._busy_until_s = max(self._busy_until_s, now_s) + batch.predicted_s * ratio
        call = Call(batch.number, ids, batch.width, segments, batch.per_token)
        self._transport.write(call_frame(call))

    def remaining_s(self, now_s: float, ratio: float) -> float:
        """How long its present batches will take, as predicted."""
        if not self.running:
            return 0.0
        longest_s = sum(batch.predicted_s for batch in self.running) * ratio
        return min(max(self._busy_until_s - now_s, 0.0), longest_s)

    def hangs(self, now_s: float) -> bool:
        """Whether its present batch takes far longer than any batch should."""
        return bool(self.running) and now_s > self._deadline_s

    def give_up(self) -> None:
        """Send it nothing more, and wait no longer for its answers: it is being killed."""
        self.ready = False
        self._deadline_s = math.inf

    def close(self) -> None:
        """End the connection; the worker then ends by itself."""
        if self._transport is not None:
            self._transport.close()

    def _set_deadline(self, now_s: float) -> None:
        if self.running:
            predicted_s = self.running[0].predicted_s
            self._deadline_s = now_s + max(_HANG_LEAST_S, _HANG_RATIO * predicted_s)
        else:
            self._busy_until_s = now_s
