"""A fresh process for each job: started clean, heard on a pipe of its own, never orphaned."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import honed
from honed import artifacts, environments
from honed.errors import UnsupportedError
from honed.machine.affinity import starting_on
from honed.run.job import Job

Event = dict[str, Any]
_LOG_TAIL_BYTES = 4000


@dataclass(slots=True)
class Worker:
    """A started job: its events so far, and how it ended."""

    index: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    pipe: IO[bytes]
    buffer: bytes = b""
    phase: str = "starting"
    outcome: Event | None = None
    exit_code: int | None = None
    ended_by_itself: bool = False
    heard: list[Event] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.exit_code is not None

    def log_tail(self) -> str:
        """The end of what it and its libraries printed."""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self.log.read().decode(errors="replace").strip()


def start(job: Job, environment: Mapping[str, str], index: int = 0) -> Worker:
    """Start one worker. Its standard output and error go to a file, its events to a pipe."""
    reader, writer = os.pipe()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close_logs, after it was read
    try:
        with starting_on(job.seat.cpus) if job.seat.cpus else contextlib.nullcontext():
            process = subprocess.Popen(
                [_interpreter(job), "-P", "-m", "honed.run.worker"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                env={**environment, **_source_path(job.case.python)},
                start_new_session=True,  # Ctrl-C reaches the parent only: it ends the group
            )
    except OSError as error:
        log.close()
        os.close(reader)
        raise UnsupportedError(
            f"cannot start {job.case.python}: {error.strerror}", "python=/path/to/bin/python"
        ) from None
    finally:
        os.close(writer)
    message = replace(job, result_fd=writer, parent_pid=os.getpid()).dump().encode()
    with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
        assert process.stdin is not None
        process.stdin.write(message)
        process.stdin.close()
    return Worker(index, process, log, os.fdopen(reader, "rb", buffering=0))


def _interpreter(job: Job) -> str:
    return sys.executable if job.case.python is None else environments.interpreter(job.case.python)


def _source_path(python: str | None) -> dict[str, str]:
    """Another interpreter finds honed's own source, and nothing else of this environment."""
    return {} if python is None else {"PYTHONPATH": str(source_folder())}


def source_folder() -> Path:
    """A folder with honed's source in it and nothing besides."""
    package = Path(honed.__file__).parent
    folder = artifacts.root() / "source" / artifacts.content_key({"package": str(package)})
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "honed").symlink_to(package)
    return folder


def follow(
    workers: Sequence[Worker], deadline_s: float, tick: Callable[[], None]
) -> Iterator[tuple[Worker, Event]]:
    """Every event as it comes, until all workers have ended. `tick` runs about once a second.

    The parent sleeps in between: a parent that polls takes a core from what it measures.
    Raises TimeoutError at `deadline_s` (monotonic).
    """
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.pipe, selectors.EVENT_READ, worker)
        while selector.get_map():
            if time.monotonic() > deadline_s:
                raise TimeoutError
            ready = selector.select(timeout=1.0)
            if not ready:
                tick()
            for key, _ in ready:
                worker = key.data
                chunk = worker.pipe.read(1 << 20)
                if not chunk:
                    selector.unregister(worker.pipe)
                    worker.exit_code = worker.process.wait()
                    worker.ended_by_itself = True
                    yield worker, {"event": "ended"}
                    continue
                for event in _lines(worker, chunk):
                    worker.phase = event.get("phase", worker.phase)
                    yield worker, event


def _lines(worker: Worker, chunk: bytes) -> Iterator[Event]:
    *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
    for line in lines:
        event: Event = json.loads(line)
        worker.heard.append(event)
        if event["event"] in ("result", "failed"):
            worker.outcome = event
        yield event


def end(workers: Sequence[Worker]) -> None:
    """Kill what still runs, children included, and reap it."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
    for worker in workers:
        worker.exit_code = worker.process.wait()
        worker.pipe.close()


def close_logs(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.log.close()
