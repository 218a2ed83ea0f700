"""The supervisor: it makes workers ready, and replaces those that die, hang or answer wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from honed.errors import HonedError
from honed.instruments.fidelity import TOLERANCES
from honed.machine.affinity import pin
from honed.serve import notify
from honed.serve.crew import Crew, Started, drift_notice
from honed.serve.dispatcher import Dispatcher
from honed.serve.frames import Floats, Ids
from honed.serve.groups import Group, groups_of
from honed.serve.link import Link, Listener
from honed.serve.service import Served, Service
from honed.serve.texts import Texts
from honed.serve.tickets import Batch

T = TypeVar("T")
_CANARY_TOKENS = 8
_NO_SHORT = (
    "express workers have nothing to do: even the shortest texts of this model take more than a "
    "sixth of the longest one's time: express=0 saves their memory"
)
_WATCH_CLIENTS_S = 0.1
_RESTART_S = (0.5, 30.0)  # the pause before a worker that keeps dying is started again


class Supervisor:
    """Workers from their start to their end. Blocking calls run in one thread of their own."""

    def __init__(
        self, crew: Crew, service: Service, thread: ThreadPoolExecutor, say: Callable[[str], None]
    ) -> None:
        self.crew = crew
        self.service = service
        self.say = say
        self._thread = thread
        self._right: Floats | None = None  # what a healthy worker gives for the canary
        self._failures = 0
        self._closed = False
        self._restarting: dict[int, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Load the model everywhere; afterwards the service is ready. Raises HonedError."""
        settings = self.service.settings
        await self._apart(self.crew.begin)
        await self._apart(lambda: self.crew.equip(settings.max_length))
        checkpoint, longest = self.crew.checkpoint, self.crew.longest
        assert self.crew.equipped is not None
        folder = self.crew.equipped.tokenizer
        cuts = settings.auto_truncate
        texts, started = await asyncio.gather(
            asyncio.to_thread(lambda: Texts(checkpoint, folder, longest, auto_truncate=cuts)),
            self._apart(lambda: self.crew.start(self.crew.places)),
        )
        groups = groups_of(self.crew.case, settings, started, longest)
        dispatcher = Dispatcher(groups, self.service.metrics, settings.max_wait_s)
        if self.crew.express:  # only now: the others have timed their calls undisturbed
            started += await self._apart(lambda: self.crew.start(self.crew.express))
        record = await self._apart(lambda: self.crew.record(started))
        notices = [drift_notice(self.crew.case, self.crew.neighbour_cosine(started))]
        if record.error is not None:
            notices.insert(0, f"{record.status}: {record.error.message}")
        if self.crew.express and dispatcher.model.short_edge(longest) is None:
            notices.append(_NO_SHORT)
        name = settings.name or checkpoint_name(self.crew.case.model)
        self.service.served = Served(
            self.crew.case, checkpoint, record, name, longest, tuple(filter(None, notices))
        )
        self.service.texts = texts
        dispatcher.seats = [*self.crew.places, *self.crew.express]
        self.service.dispatcher = dispatcher
        self.service.metrics.watch_wait(dispatcher.wait_s)
        self.service.metrics.watch_ratio(lambda: dispatcher.ratio)
        self.crew.times.begin("first answers")
        for each in started:
            await self._link(each)
        await self._first_canaries()
        if self.crew.reserved:  # only now: what is prepared apart may use every core
            pin(self.crew.reserved)

    async def watch(self, tick_s: float) -> None:
        """Deadlines, clients that left, workers that hang, canaries. Ends when cancelled."""
        loop = asyncio.get_running_loop()
        dispatcher = self.service.dispatcher
        assert dispatcher is not None
        alive_s, told_s = notify.watchdog_s(), 0.0
        while True:
            expected_s = loop.time() + tick_s
            await asyncio.sleep(tick_s)
            now_s = loop.time()
            self.service.metrics.lag(max(0.0, now_s - expected_s))
            if alive_s is not None and now_s - told_s >= alive_s:
                notify.tell("WATCHDOG=1")
                told_s = now_s
            dispatcher.expire()
            self.service.watch_clients(_WATCH_CLIENTS_S)
            for link in list(dispatcher.links):
                if link.hangs(now_s):
                    self.say(f"worker {link.seat.index} gives no answer: it is started again")
                    self._kill(link)
                elif link.ready and self._is_due(link, now_s):
                    self._send_canary(link)

    def close(self) -> None:
        """Close the connections; the workers then end by themselves."""
        self._closed = True
        for task in self._restarting.values():
            task.cancel()
        if self.service.dispatcher is not None:
            for link in self.service.dispatcher.links:
                link.close()
        if self.service.texts is not None:
            self.service.texts.close()

    async def _link(self, started: Started) -> Link:
        """Connect a loaded worker. It is not ready before its canary has answered."""
        dispatcher = self.service.dispatcher
        assert dispatcher is not None
        group, up_to = self._group_of(started), None
        if started.seat in self.crew.express:
            up_to = dispatcher.model.short_edge(self.crew.longest) or 0
        shapes = [] if up_to == 0 else group.rules.shapes(up_to or group.up_to)
        await self._apart(lambda: self.crew.open(started, shapes))
        listener = Listener(dispatcher.answered, self._gone)
        link = Link(started, group, listener, up_to)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: link, sock=started.line)
        dispatcher.links.append(link)
        self._send_canary(link)
        return link

    def _group_of(self, started: Started) -> Group:
        """The group of a worker's size."""
        assert self.service.dispatcher is not None
        groups = self.service.dispatcher.groups
        return next((g for g in groups if g.cores == started.seat.threads), groups[0])

    async def _first_canaries(self) -> None:
        """Wait until every worker has answered its canary."""
        dispatcher = self.service.dispatcher
        assert dispatcher is not None
        while not all(link.ready for link in dispatcher.links):
            now_s = asyncio.get_running_loop().time()
            hangs = any(link.hangs(now_s) for link in dispatcher.links)
            if hangs or len(dispatcher.links) < len(dispatcher.seats):
                how = "gave no first answer" if hangs else "died before its first answer"
                raise HonedError(f"a worker {how}", "honed run with the same words may tell why")
            await asyncio.sleep(0.005)

    def _send_canary(self, link: Link) -> None:
        width = link.group.rules.width(_CANARY_TOKENS)
        batch = Batch(0, [], link.group.model.padded_s(1, width), width)
        batch.canary_ids = [self._canary_ids()]
        batch.per_token = self.crew.checkpoint.pooling == "none"
        batch.canary = lambda rows: self._heard(link, rows)
        link.send(batch)

    def _canary_ids(self) -> Ids:
        last = self.crew.checkpoint.vocab_size - 1
        return np.minimum(np.arange(1, _CANARY_TOKENS + 1), last).astype(np.int32)

    def _heard(self, link: Link, rows: Floats | None) -> None:
        """A canary's answer: right, or the worker is replaced."""
        tolerance = TOLERANCES[self.crew.case.precision]
        if rows is None or not np.isfinite(rows).all():
            right = False
        elif self._right is None:
            self._right, right = rows, True
        else:
            right = _cosine(rows, self._right) >= tolerance
        if not right:
            self.say(f"worker {link.seat.index} answers wrongly: it is started again")
            self._kill(link)
        elif not link.ready:
            link.ready = True
            self._failures = 0
            self.service.metrics.worker(link.seat.index, ready=True)
            if self.service.dispatcher is not None:
                asyncio.get_running_loop().call_soon(self.service.dispatcher.pump)

    def _is_due(self, link: Link, now_s: float) -> bool:
        return not link.running and now_s - link.heard_s > self.service.settings.canary_s

    def _kill(self, link: Link) -> None:
        """End a worker that is of no use; its connection then closes."""
        link.give_up()
        link.worker.process.kill()

    def _gone(self, link: Link) -> None:
        """A worker's connection has closed: its work goes to others, and it is started again."""
        dispatcher = self.service.dispatcher
        if self._closed or dispatcher is None or link not in dispatcher.links:
            return
        dispatcher.links.remove(link)
        self.service.metrics.worker(link.seat.index, ready=False)
        index = link.seat.index
        task = asyncio.get_running_loop().create_task(self._replace(link))
        self._restarting[index] = task
        task.add_done_callback(lambda _: self._restarting.pop(index, None))

    async def _replace(self, link: Link) -> None:
        dispatcher = self.service.dispatcher
        assert dispatcher is not None
        why = await self._apart(lambda: self.crew.why_gone(link.worker))
        self.say(f"worker {link.seat.index}: {why}")
        for place, batch in enumerate(link.running):
            if place:  # it waited in the socket
                dispatcher.requeue(batch.items)
            elif batch.items:
                dispatcher.lost(batch.items, why)
        while not self._closed:
            pause_s = min(_RESTART_S[0] * 2**self._failures, _RESTART_S[1])
            await asyncio.sleep(pause_s if self._failures else 0)
            self._failures += 1
            try:
                (started,) = await self._apart(lambda: self.crew.start([link.seat]))
            except (HonedError, OSError) as error:  # OSError: no memory or descriptors at present
                why = error.message if isinstance(error, HonedError) else str(error)
                self.say(f"worker {link.seat.index} could not start: {why}")
                continue
            self.service.metrics.restarted()
            await self._link(started)
            return

    async def _apart(self, call: Callable[[], T]) -> T:
        """Run a blocking call in the thread that starts all workers."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def checkpoint_name(model: str) -> str:
    """The name in answers: a folder's own name, a hub id, or a named shape."""
    path = model.rstrip("/")
    return path.rpartition("/")[2] if path.startswith(("/", ".", "~")) else path


def _cosine(one: Floats, other: Floats) -> float:
    if one.shape != other.shape:
        return 0.0
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 if norms == 0 else float(a @ b) / norms
