"""Workers that die: what is said of them, and that they are started again."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.case import Case
from honed.machine import limits
from honed.serve import supervisor
from honed.serve.crew import Crew, served
from honed.serve.metrics import Metrics
from honed.serve.service import Service
from honed.serve.settings import ServeSettings
from honed.serve.supervisor import Supervisor


@pytest.mark.parametrize(
    ("more_kills", "said"), [(0, "the worker died (SIGKILL)"), (1, "killed the worker for memory")]
)
def test_a_kill_for_memory_of_long_ago_is_not_blamed(
    model: Path, monkeypatch: pytest.MonkeyPatch, more_kills: int, said: str
) -> None:
    """The kernel counts kills since the memory group was made, and this group has had three."""
    kills = 3
    monkeypatch.setattr(limits, "memory_kills", lambda: kills)
    case = served(Case(model=str(model), backend="fake", sequence_length=8, threads=1))
    crew = Crew(case, ServeSettings())
    worker, line = crew._begin(crew.places[0])
    with line:
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        kills += more_kills
        assert said in crew.why_gone(worker)
    assert not crew._present
    assert not crew._descriptors


def test_a_worker_is_started_again_when_the_system_has_descriptors_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too many open files is an OSError, not an error of honed."""
    monkeypatch.setattr(supervisor, "_RESTART_S", (0.0, 0.0))
    tries: list[int] = []

    def start(_: Any) -> list[str]:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(24, "Too many open files")
        return ["started"]

    crew: Any = SimpleNamespace(start=start, why_gone=lambda _: "the worker died")
    service = Service(ServeSettings(), Metrics())
    service.dispatcher = SimpleNamespace(links=[])  # type: ignore[assignment]
    said: list[str] = []
    linked: list[Any] = []

    async def link(_: Supervisor, started: Any) -> None:
        linked.append(started)

    monkeypatch.setattr(Supervisor, "_link", link)
    gone: Any = SimpleNamespace(seat=SimpleNamespace(index=0), worker=None, running=[])
    with ThreadPoolExecutor(1) as thread:
        made = Supervisor(crew, service, thread, said.append)
        asyncio.run(made._replace(gone))
    assert linked == ["started"]
    assert said[1:] == ["worker 0 could not start: [Errno 24] Too many open files"] * 2
