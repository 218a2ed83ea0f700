"""Start a worker in a fresh process, ask it, and end it with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from honed import artifacts, environments
from honed.errors import UnsupportedError
from honed.knob import Value
from honed.machine.affinity import starting_on
from honed.machine.ceiling import Ceiling
from honed.phase import Phase
from honed.workers.channel import Birth, Failed, Result, line_of
from honed.workers.seat import Seat

_LOG_TAIL_BYTES = 4000
_CLOSE_S = 5.0  # for a worker to end after its channel has been closed; then it is killed


@dataclass(frozen=True, slots=True)
class Launch:
    """How one worker starts. `module` is run with -m; `python` names another interpreter.

    A `nested` worker is started by a worker: it stays in that worker's process group and prints
    into its log, so that it ends with it. The worker inherits `descriptors` under their numbers.
    `roof` limits its memory from its first instruction on, where a control group does.
    """

    module: str
    environment: Mapping[str, str]
    seat: Seat = field(default_factory=Seat)
    in_child: Mapping[str, Value] = field(default_factory=dict)
    python: str | None = None
    nested: bool = False
    descriptors: tuple[int, ...] = ()
    roof: Ceiling | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """A started process. `outcome` is what came of the last request; None while it is open."""

    index: int
    process: subprocess.Popen[bytes]
    events: IO[bytes]
    log: IO[bytes] | None = None
    buffer: bytes = b""
    answer: type = object
    phase: Phase = Phase.STARTING
    outcome: Result | Failed | None = None
    exit_code: int | None = None
    ended_by_itself: bool = False

    def ask(self, request: Any, answer: type) -> None:
        """Send a request. `follow` brings the outcome, with an answer of class `answer`."""
        self.answer, self.outcome, self.phase = answer, None, Phase.STARTING
        self._write(line_of(request))

    def close(self) -> int:
        """End a worker that is not needed any more; returns its exit code."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_CLOSE_S)
        end([self])
        assert self.exit_code is not None
        return self.exit_code

    def log_tail(self) -> str:
        """The end of what the worker and its libraries printed."""
        if self.log is None or self.log.closed:
            return ""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self.log.read().decode(errors="replace").strip()

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()


@contextlib.contextmanager
def running(launches: Sequence[Launch]) -> Iterator[list[Worker]]:
    """Started workers. They and their children are gone when the block is left, however it is."""
    workers: list[Worker] = []
    try:
        for index, launch in enumerate(launches):
            workers.append(start(launch, index))
        yield workers
    finally:
        end(workers)
        for worker in workers:
            if worker.log is not None:
                worker.log.close()


def start(launch: Launch, index: int = 0) -> Worker:
    """Start one worker. Its standard output and error go to a file, its events to a pipe."""
    reader, writer = os.pipe()
    log = None if launch.nested else tempfile.TemporaryFile()  # noqa: SIM115 - `running` closes it
    python = sys.executable
    environment = dict(launch.environment)
    try:
        if launch.python is not None:
            python = environments.interpreter(launch.python)
            # It finds honed's source, and nothing else of this process's environment.
            environment["PYTHONPATH"] = str(source_folder())
        command = [python, "-P", "-m", launch.module]
        if launch.roof is not None:
            command = launch.roof.words(command)
        with starting_on(launch.seat.cpus) if launch.seat.cpus else contextlib.nullcontext():
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
                pass_fds=(writer, *launch.descriptors),
                # Ctrl-C then reaches the parent only, and the parent ends the group.
                start_new_session=not launch.nested,
            )  # fmt: skip
    except OSError as error:
        if log is not None:
            log.close()
        os.close(reader)
        raise UnsupportedError(
            f"cannot start {launch.python}: {error.strerror}", "python=/path/to/bin/python"
        ) from None
    finally:
        os.close(writer)
    worker = Worker(index, process, os.fdopen(reader, "rb", buffering=0), log)
    worker._write(line_of(Birth(os.getpid(), writer, launch.seat.cpus, launch.in_child)))
    return worker


def source_folder() -> Path:
    """A folder that holds honed's source and nothing else."""
    package = Path(artifacts.__file__).parent
    folder = artifacts.root() / "source" / artifacts.content_key({"package": str(package)})
    with artifacts.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / "honed").symlink_to(package)
    return folder


def kill(workers: Sequence[Worker]) -> None:
    """Kill the workers that still run, with their children. Another thread may follow them: it
    hears of their end, and reaps them."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            if worker.log is None:  # nested: the group is its parent's
                worker.process.kill()
            else:
                os.killpg(worker.process.pid, signal.SIGKILL)


def end(workers: Sequence[Worker]) -> None:
    """Kill the workers that still run, with their children, and reap them."""
    kill(workers)
    for worker in workers:
        worker.exit_code = worker.process.wait()
        worker.events.close()
        with contextlib.suppress(BrokenPipeError):
            if worker.process.stdin is not None:
                worker.process.stdin.close()
