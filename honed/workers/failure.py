"""Why a worker gave no answer: a status, a reason, and what to type next."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import cast

from honed.case import Case
from honed.errors import HonedError
from honed.phase import Phase
from honed.record import Status
from honed.workers.channel import Failed
from honed.workers.start import Worker

_MEMORY_HINT = "use a smaller batch_size or sequence_length, fewer instances, or more memory"


def of_exception(error: BaseException) -> Failed:
    """An exception as a status and an Error's fields."""
    kind = type(error).__name__
    if isinstance(error, HonedError):
        return Failed(cast(Status, error.status), kind, error.message, error.hint)
    text = brief(error)
    if isinstance(error, MemoryError):
        return Failed("oom", "OutOfMemoryError", text, _MEMORY_HINT)
    return Failed("crashed", kind, f"{kind}: {text}")


def brief(error: BaseException) -> str:
    """The message of an exception on one line."""
    lines = [line.strip() for line in (str(error) or type(error).__name__).splitlines()]
    return " ".join(filter(None, lines))[:500]


def of_workers(workers: Sequence[Worker], *, killed_for_memory: bool = False) -> Failed:
    """Why the first worker failed; the others were ended because of it. `killed_for_memory`: the
    kernel has killed some process for memory since they started."""
    for worker in workers:
        if isinstance(worker.outcome, Failed):
            return worker.outcome
    by_themselves = [w for w in workers if w.outcome is None and w.ended_by_itself]
    return _of_dead_worker((by_themselves or workers)[0], killed_for_memory)


def _of_dead_worker(worker: Worker, killed_for_memory: bool) -> Failed:
    """A worker that ended without a word."""
    code = worker.exit_code or 0
    if code == -signal.SIGKILL and killed_for_memory:
        message = f"the kernel killed the worker for memory while {worker.phase}"
        return Failed("oom", "OutOfMemoryError", message, _MEMORY_HINT)
    last_line = worker.log_tail().splitlines()[-1:]
    printed = f"; the last line that it printed: {last_line[0][:200]}" if last_line else ""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    message = f"the worker died ({how}) while {worker.phase}{printed}"
    return Failed("crashed", "WorkerDied", message)


def as_error(failed: Failed, while_doing: str) -> HonedError:
    error = HonedError(f"{while_doing}: {failed.message}", failed.hint)
    error.status = failed.status
    return error


def timed_out(case: Case, phase: Phase) -> Failed:
    """The outcome of a worker that was given up."""
    message = f"no end after {case.timeout_s:g} s; it was {phase}"
    return Failed(
        "timeout", "Timeout", message, f"timeout_s={case.timeout_s * 2:g}, or a smaller case"
    )
