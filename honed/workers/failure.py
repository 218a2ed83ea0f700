"""How a worker ended without a result: a status, a reason, and what to type next."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.case import Case
from honed.errors import HonedError
from honed.record import Status
from honed.workers.start import Worker

_MEMORY_HINT = "use a smaller batch_size or sequence_length, fewer instances, or more memory"


@dataclass(frozen=True, slots=True)
class Death:
    """Why there is no result; becomes a Record's status and error."""

    status: Status
    kind: str
    message: str
    hint: str = ""

    def as_error(self, while_doing: str) -> HonedError:
        error = HonedError(f"{while_doing}: {self.message}", self.hint)
        error.status = self.status
        return error


def of_error(error: HonedError) -> Death:
    status: Any = error.status
    return Death(status, type(error).__name__, error.message, error.hint)


def of_workers(workers: Sequence[Worker], kills_before: int = 0) -> Death:
    """The first to fail by itself; the others were ended because of it."""
    for worker in workers:
        if worker.outcome is not None and worker.outcome["event"] == "failed":
            return of_worker(worker)
    for worker in workers:
        if worker.outcome is None and worker.ended_by_itself:
            return of_worker(worker, kills_before)
    return of_worker(workers[0], kills_before)


def of_worker(worker: Worker, kills_before: int = 0) -> Death:
    outcome = worker.outcome
    if outcome is not None and outcome["event"] == "failed":
        return Death(outcome["status"], outcome["kind"], outcome["message"], outcome["hint"])
    code = worker.exit_code or 0
    if code == -signal.SIGKILL and memory_kills() > kills_before:
        message = f"the kernel killed the worker for memory while {worker.phase}"
        return Death("oom", "OutOfMemoryError", message, _MEMORY_HINT)
    said = worker.log_tail().splitlines()[-1:]
    last_words = f"; its last words: {said[0][:200]}" if said else ""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Death(
        "crashed", "WorkerDied", f"the worker died ({how}) while {worker.phase}{last_words}"
    )


def timed_out(case: Case, phase: str) -> dict[str, Any]:
    """The outcome of a worker that was given up."""
    return {
        "event": "failed",
        "status": "timeout",
        "kind": "Timeout",
        "message": f"no end after {case.timeout_s:g} s; it was {phase}",
        "hint": f"timeout_s={case.timeout_s * 2:g}, or a smaller case",
    }


def memory_kills() -> int:
    """How many processes the kernel has killed for memory, here and in our control group."""
    kills = _counter(Path("/proc/vmstat"), "oom_kill")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if names in ("", "memory"):
                for root in (f"/sys/fs/cgroup/{names}", "/sys/fs/cgroup"):
                    for name in ("memory.events", "memory.oom_control"):
                        kills += _counter(Path(root + path) / name, "oom_kill")
    return kills


def _counter(path: Path, key: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.split()[:1] == [key]:
                return int(line.split()[1])
    return 0
