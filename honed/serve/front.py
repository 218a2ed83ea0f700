"""The front: it listens, starts the workers, keeps them alive, and ends without losing an answer.

The port is open from the start, so that health can be asked while the model is loaded. Everything
here runs on one event loop, except the starting and ending of workers, which blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from honed.case import Case
from honed.errors import HonedError, NotInstalledError, UsageError
from honed.machine import priority
from honed.machine.knobs import system
from honed.serve import notify
from honed.serve.settings import ServeSettings

if TYPE_CHECKING:
    import uvicorn

    from honed.serve.crew import Crew
    from honed.serve.supervisor import Supervisor
    from honed.serve.traces import Traces

_KEEP_ALIVE_S = 75  # longer than the pools of the usual proxies, which would race a shorter one
_BACKLOG = 2048
_TICK_S = 0.1
_SLICE_S = 1e-4  # of the event loop, which works for less than that at a time

_LISTEN_HINTS: dict[int | None, str] = {
    errno.EADDRINUSE: "another program uses the port: port=0 takes a free one",
    errno.EACCES: "ports below 1024 are for root: port=8080",
}

Say = Callable[[str], None]


def run(case: Case, settings: ServeSettings, say: Say | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises HonedError where the server cannot start.

    `say` is told, in words for people, what the server does; by default it prints to stderr.
    """
    try:
        import uvicorn  # noqa: F401
        import uvloop
    except ImportError as error:
        raise NotInstalledError(
            f"{error.name} is not installed, which `honed serve` needs",
            "pip install 'honed[serve]'",
        ) from None
    from honed.serve.crew import Crew, left_out_notice, served
    from honed.serve.traces import Traces

    say = say or _to_stderr
    if notice := left_out_notice(case):
        say(notice)
    case = served(case)
    _open_files()
    with (
        _listening(settings) as listener,
        system.changed(case.knobs, allowed=case.allow_system_changes),
        _logging(settings.access_log) as log,
        contextlib.ExitStack() as stack,
    ):
        traces = Traces() if settings.traces else None
        if traces is not None:
            stack.callback(traces.close)
        crew = Crew(case, settings)
        front = Front(crew.case, settings, listener, say)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(front.run(crew, log, traces))


class Front:
    """One run of a server."""

    def __init__(
        self, case: Case, settings: ServeSettings, listener: socket.socket, say: Say
    ) -> None:
        self.case = case
        self.settings = settings
        self.listener = listener
        self.say = say
        self._stopping = asyncio.Event()
        self._signals = 0
        self._server: uvicorn.Server | None = None

    async def run(self, crew: Crew, log: IO[str] | None, traces: Traces | None) -> None:
        """Listen, start the workers, serve, drain."""
        from honed.serve.app import App
        from honed.serve.metrics import Metrics
        from honed.serve.service import Service
        from honed.serve.supervisor import Supervisor

        priority.ask_for_slices(_SLICE_S)  # it shares its cores with workers that never pause
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        service = Service(self.settings, Metrics())
        self._server = _server(App(service, log, traces), self.settings)
        thread = ThreadPoolExecutor(1, "supervisor")
        supervisor = Supervisor(crew, service, thread, self.say)
        serving = asyncio.ensure_future(self._server.serve([self.listener]))
        starting = asyncio.ensure_future(supervisor.start())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({serving, starting, stopping}, return_when="FIRST_COMPLETED")
            if starting.done():
                starting.result()
                self._announce(supervisor)
                watching = asyncio.ensure_future(supervisor.watch(_TICK_S))
                await asyncio.wait({serving, stopping, watching}, return_when="FIRST_COMPLETED")
                if watching.done():
                    watching.result()
                await self._drain(supervisor, serving)
                watching.cancel()
        finally:
            starting.cancel()
            stopping.cancel()
            self._server.should_exit = self._server.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            supervisor.close()
            crew.stop()  # at once, also while the thread still waits for them to load
            thread.submit(crew.end_all)
            thread.shutdown(wait=True)

    def _on_signal(self) -> None:
        """The first signal drains; a second one stops at once."""
        self._signals += 1
        self._stopping.set()
        if self._signals > 1 and self._server is not None:
            self._server.force_exit = True

    async def _drain(self, supervisor: Supervisor, serving: asyncio.Future[None]) -> None:
        """Not ready any more; accept for `drain_delay_s`; then answer what has been accepted."""
        assert self._server is not None
        supervisor.service.draining = True
        notify.tell("STOPPING=1")
        self.say(f"stopping: answering what is queued for at most {self.settings.drain_s:g} s")
        end_s = time.monotonic() + self.settings.drain_delay_s
        while time.monotonic() < end_s and self._signals < 2:
            await asyncio.sleep(_TICK_S)
        self._server.should_exit = True
        await asyncio.wait({serving}, timeout=self.settings.drain_s + 5)

    def _announce(self, supervisor: Supervisor) -> None:
        host, port = self.listener.getsockname()[:2]
        times = supervisor.crew.times
        times.end()
        served = supervisor.service.need()
        for notice in served.notices:
            self.say(notice)
        where = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
        self.say(f"serving {served.name} at {where} ({times})")
        notify.tell("READY=1")


def _server(app: Callable[..., Any], settings: ServeSettings) -> uvicorn.Server:
    """uvicorn without its signals and its log. Its limit of connections stays unset, because it
    would count idle ones and answer in plain text."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=int(settings.drain_s) or 1,
        server_header=False, backlog=_BACKLOG,
    )  # fmt: skip
    return Server(config)


@contextlib.contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """The socket, bound before anything is loaded, so that a taken port is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            number = error.errno if isinstance(error, OSError) else None
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port}: {reason}",
                _LISTEN_HINTS.get(number, "host=127.0.0.1 or host=0.0.0.0, and port=8080"),
            ) from None
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def _logging(where: str) -> Iterator[IO[str] | None]:
    if where in ("off", "stderr"):
        yield sys.stderr if where == "stderr" else None
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(where).open("a", buffering=1 << 16))
        except OSError as error:
            raise HonedError(
                f"cannot write access_log={where}: {error.strerror}", "access_log=stderr"
            ) from None
        yield file


def _open_files() -> None:
    """As many connections as the system allows; the usual soft limit of 1024 is for `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _to_stderr(text: str) -> None:
    print(f"honed: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the front's own voice
