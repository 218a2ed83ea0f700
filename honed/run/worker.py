"""The worker: one job in a process of its own. Needs honed, numpy and the engine; nothing else.

Run as `python -P -m honed.run.worker`, with the job on standard input. Whatever libraries print
goes to a log; what matters goes back on the result pipe, one JSON a line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from honed.backends.base import memory_words
from honed.errors import HonedError
from honed.machine.affinity import pin
from honed.machine.spawn import apply_in_child, die_with_parent
from honed.run.job import Job

Tell = Callable[..., None]


def main() -> None:
    job = Job.parse(sys.stdin.read())
    die_with_parent(job.parent_pid)
    _prefer_as_victim()
    with os.fdopen(job.result_fd, "w", buffering=1) as pipe:

        def tell(event: str, **facts: Any) -> None:
            pipe.write(json.dumps({"event": event, **facts}, allow_nan=False) + "\n")

        try:
            if job.seat.cpus:
                pin(job.seat.cpus)  # first: a memory policy is about the cores it may run on
            notes = apply_in_child(job.in_child, job.seat.cpus)
            run_job: Callable[[Job, Tell], dict[str, Any]]
            run_job = importlib.import_module(f"honed.run.{job.kind}").work
            tell("result", **run_job(job, tell), notes=notes)
        except Exception as error:  # noqa: BLE001 - whatever an engine raises becomes a Record
            traceback.print_exc()
            tell("failed", **describe(error, job.case.backend))
    # Engines' own exit handlers can hang or crash; the result is out, so none is needed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def describe(error: Exception, backend: str) -> dict[str, Any]:
    """An exception as a status and an Error's fields.

    When an allocation fails, engines raise RuntimeError rather than MemoryError.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, HonedError):
        return {
            "status": error.status,
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
        }
    no_memory = any(words in text.lower() for words in memory_words(backend))
    if no_memory or isinstance(error, MemoryError):
        hint = "use a smaller batch_size or sequence_length, or fewer instances"
        return {"status": "oom", "kind": "OutOfMemoryError", "message": _brief(text), "hint": hint}
    return {
        "status": "crashed",
        "kind": type(error).__name__,
        "message": f"{type(error).__name__}: {_brief(text)}",
        "hint": "",
    }


def _brief(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:500]


def _prefer_as_victim() -> None:
    """When memory runs out the kernel should end the worker, not the one that keeps records."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    main()
