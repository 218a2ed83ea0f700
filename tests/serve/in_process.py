"""The ASGI application in this process, with a worker that answers at once: thousands of requests
take seconds."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from served import Answer as HttpAnswer

from honed.case import Case
from honed.serve.app import App
from honed.serve.cost import CostModel
from honed.serve.crew import Crew, served
from honed.serve.dispatch.base import Lengths, Rules, load_policy
from honed.serve.dispatcher import Dispatcher
from honed.serve.frames import Answer
from honed.serve.groups import Group
from honed.serve.link import Link
from honed.serve.metrics import Metrics
from honed.serve.service import Served, Service
from honed.serve.settings import ServeSettings
from honed.serve.texts import Texts
from honed.serve.tickets import Batch

_COLUMNS = 16


class InstantLink:
    """A worker that answers in the next turn of the event loop."""

    def __init__(self, group: Group) -> None:
        self.group, self.share = group, Lengths(group.rules)
        self.ready, self.up_to, self.heard_s, self.answered_rows = True, None, 0.0, 0
        self.seat = SimpleNamespace(index=0, cpus=())
        self.running: deque[Batch] = deque()
        self.dispatcher: Dispatcher | None = None

    def takes_more(self, _: float) -> bool:
        return not self.running

    def remaining_s(self, _: float, __: float) -> float:
        return 0.0

    def send(self, batch: Batch, _: float = 1.0) -> None:
        self.running.append(batch)
        asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        batch = self.running.popleft()
        rows = [
            np.resize(np.sin(1.0 + item.sequence.ids.astype(np.float32)), _COLUMNS)
            for item in batch.items
        ]
        assert self.dispatcher is not None
        answer = Answer(batch.number, 1e-4, np.stack(rows))
        self.dispatcher.answered(cast(Link, self), batch, answer)


class InProcess:
    """One application. `ask` runs one request to its end."""

    def __init__(self, model: Path, **settings: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.settings = ServeSettings(**settings)
        case = served(Case(model=str(model), backend="fake", sequence_length=8, threads=1))
        crew = Crew(case, self.settings)
        equipped = crew.equip(self.settings.max_length)
        cost = CostModel(1e-4, 1e-6, 0.0)
        bounds = Rules(cost, crew.longest, lambda tokens: tokens, cost.batch_tokens, 64, 0.05)
        self.service = Service(self.settings, Metrics())
        group = Group(bounds, load_policy("by_length"))
        dispatcher = Dispatcher([group], self.service.metrics, self.settings.max_wait_s)
        link = InstantLink(group)
        link.dispatcher = dispatcher
        dispatcher.links.append(cast(Link, link))
        self.service.dispatcher = dispatcher
        self.service.texts = Texts(crew.checkpoint, equipped.tokenizer, crew.longest,
                                   auto_truncate=True)  # fmt: skip
        record: Any = SimpleNamespace(status="ok", error=None, doubts=(), effective=())
        self.service.served = Served(case, crew.checkpoint, record, model.name, crew.longest)
        self.app = App(self.service)

    def ask(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """POST `body` (bytes as they are, anything else as JSON), or GET without one."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        given = {"content-length": str(len(sent or b"")), **(headers or {})}
        return self.loop.run_until_complete(self.answer(path, [sent or b""], given, method))

    async def answer(
        self,
        path: str,
        parts: list[bytes | None],
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> HttpAnswer:
        """One request whose body comes in these parts; after None, nothing comes any more."""
        given = {"content-type": "application/json", **(headers or {})}
        as_bytes = [(name.lower().encode(), value.encode()) for name, value in given.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": as_bytes}
        left, sent = list(parts), []

        async def receive() -> dict[str, Any]:
            part = left.pop(0) if left else None
            if part is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(cast(Any, scope), receive, send)
        start, *rest = sent
        found = {k.decode(): v.decode() for k, v in start["headers"]}
        return HttpAnswer(start["status"], b"".join(part["body"] for part in rest), found)

    def close(self) -> None:
        assert self.service.texts is not None
        self.service.texts.close()
        self.loop.close()
