"""The service: what the routes ask for, whatever their dialect. Texts in, numbers out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from honed.case import FEATURES, Case
from honed.models.checkpoint import Checkpoint
from honed.record import Record
from honed.serve.dispatcher import Dispatcher
from honed.serve.frames import Floats
from honed.serve.metrics import Metrics, Times
from honed.serve.recent import Recent
from honed.serve.refusals import Kind, Refusal, empty, invalid
from honed.serve.settings import ServeSettings
from honed.serve.texts import Input, ReadOptions, Texts
from honed.serve.tickets import Ticket

_CHARACTERS_A_TOKEN = 4  # about: for the estimate before tokenising


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rows of a request in the order of its texts, and what they cost."""

    rows: list[Floats]
    times: Times
    lengths: tuple[int, ...]
    characters: int
    cut: int

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


@dataclass(slots=True)
class Wanted:
    """What a route asks for. `timeout_s` None: the server's own."""

    route: str
    given: Sequence[Input]
    options: ReadOptions = field(default_factory=ReadOptions)
    per_token: bool = False
    timeout_s: float | None = None
    single: bool = False  # one text, not a list of one
    began_s: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class Served:
    """What is served: the Case, its model and the proof. It is complete when workers are ready."""

    case: Case
    checkpoint: Checkpoint
    record: Record
    name: str
    longest: int
    notices: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The names of a classifier's outputs."""
        named = self.checkpoint.config.get("id2label") or {}
        count = len(named) or int(self.checkpoint.config.get("num_labels") or 2)
        return [str(named.get(str(i), named.get(i, f"LABEL_{i}"))) for i in range(count)]

    @property
    def embeds(self) -> bool:
        return self.checkpoint.task == FEATURES

    @property
    def kind(self) -> str:
        """embedding, classifier, reranker or token-classifier."""
        if self.embeds:
            return "embedding"
        if self.checkpoint.task == "token-classification":
            return "token-classifier"
        return "reranker" if len(self.labels) == 1 else "classifier"


class Service:
    """Tokenises, queues and collects. It lives on the event loop."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.served: Served | None = None
        self.texts: Texts | None = None
        self.dispatcher: Dispatcher | None = None
        self.draining = False
        self.watched: dict[Ticket, Any] = {}  # tickets, and how to hear that the client left
        self.recent = Recent()

    @property
    def ready(self) -> bool:
        if self.dispatcher is None or self.draining:
            return False
        return any(link.ready for link in self.dispatcher.links)

    def need(self) -> Served:
        """What is served. Raises Refusal while the server starts."""
        if self.served is None or self.dispatcher is None:
            raise Refusal(Kind.UNHEALTHY, "the model is being loaded", "not_ready",
                          {"retry-after": "1"})  # fmt: skip
        return self.served

    async def answer(self, wanted: Wanted, receive: Any = None) -> Outcome:
        """The rows for a request's texts. Raises Refusal where there is no answer.

        `receive` is the request's own; when it tells that the client has left, what is still
        queued is not computed.
        """
        self.need()
        self.metrics.began(wanted.route, single=wanted.single)
        assert self.dispatcher is not None
        assert self.texts is not None
        texts, dispatcher, settings = self.texts, self.dispatcher, self.settings
        count = len(wanted.given)
        if not count:  # admission divides by it
            raise empty()
        if count > settings.max_client_batch:
            raise invalid(
                f"batch size {count} > maximum allowed batch size {settings.max_client_batch} "
                "(max_client_batch)"
            )
        timeout_s = wanted.timeout_s or settings.timeout_s
        sizes = [_size(each) for each in wanted.given]
        if dispatcher.queued:  # by an estimate, so that a refusal costs next to nothing
            estimates = [min(1 + size // _CHARACTERS_A_TOKEN, texts.longest) for size in sizes]
            dispatcher.admit(estimates, timeout_s)
        began_s = time.perf_counter()
        read = await texts.read(wanted.given, wanted.options)
        tokenize_s = time.perf_counter() - began_s
        lengths = tuple(len(each.ids) for each in read.tokens)
        dispatcher.admit(lengths, timeout_s)
        ticket = dispatcher.submit(read.tokens, timeout_s, per_token=wanted.per_token)
        rows = await self._result(ticket, receive)
        total_s = time.perf_counter() - wanted.began_s
        # The prediction is of the first text, so it is compared for requests of one.
        predicted_s = ticket.predicted_s if count == 1 else 0.0
        times = Times(total_s, tokenize_s / count, ticket.queue_s / count,
                      ticket.infer_s / count, predicted_s)  # fmt: skip
        self.metrics.answered(wanted.route, times, lengths, single=wanted.single)
        self.recent.add(total_s, lengths)
        return Outcome(rows, times, lengths, sum(sizes), read.cut)

    async def _result(self, ticket: Ticket, receive: Any) -> list[Floats]:
        if receive is not None:
            self.watched[ticket] = receive
        try:
            return await ticket.future
        except asyncio.CancelledError:
            ticket.future.cancel()
            if self.draining:
                raise Refusal(Kind.UNHEALTHY, "the server is stopping", "not_ready",
                              {"retry-after": "1", "connection": "close"}) from None  # fmt: skip
            raise
        finally:
            watch = self.watched.pop(ticket, None)
            if isinstance(watch, asyncio.Task):
                watch.cancel()

    def watch_clients(self, longer_than_s: float) -> None:
        """Begin to listen whether the clients of long-waiting requests are still there.

        Most requests are answered before this, and never pay for a task of their own.
        """
        assert self.dispatcher is not None
        for ticket in self.dispatcher.waiting_longer_than(longer_than_s):
            receive = self.watched.get(ticket)
            if receive is not None and not isinstance(receive, asyncio.Task):
                self.watched[ticket] = asyncio.get_running_loop().create_task(
                    _gone(ticket, receive)
                )


async def _gone(ticket: Ticket, receive: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            if not ticket.future.done():
                gone = Refusal(Kind.TIMEOUT, "the client has left", "disconnected")
                ticket.future.set_exception(gone)
            return


def normalised(rows: np.ndarray[Any, Any]) -> Floats:
    """Rows of length 1; the length is taken in float64. A row of zeros stays."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1.0
    scaled: Floats = (rows / lengths[:, None].astype(np.float32)).astype(np.float32, copy=False)
    return scaled


def shortened(rows: Floats, dimensions: int | None) -> Floats:
    """The first `dimensions` columns; Refusal where the model has fewer."""
    if dimensions is None:
        return rows
    if not 0 < dimensions <= rows.shape[1]:
        raise invalid(f"`dimensions` must be between 1 and {rows.shape[1]}. Given: {dimensions}")
    return np.ascontiguousarray(rows[:, :dimensions])


def probabilities(row: Floats, *, raw: bool) -> Floats:
    """The scores of one text: as they are, or by sigmoid (one label) or softmax (several)."""
    if raw:
        return row
    wide = row.astype(np.float64)
    if wide.shape[-1] == 1:
        scores = 1 / (1 + np.exp(-wide))
    else:
        powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
        scores = powers / powers.sum(axis=-1, keepdims=True)
    return scores.astype(np.float32)


def _size(given: Input) -> int:
    if isinstance(given, list):
        return _CHARACTERS_A_TOKEN * len(given)
    return len(given) if isinstance(given, str) else len(given[0]) + len(given[1])
