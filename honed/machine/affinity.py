"""Affinity: which CPUs the threads of this process, and its children, may run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from honed.errors import UnsupportedError
from honed.machine.topology import format_cpus

_TASKS = Path("/proc/self/task")


def pin(cpus: Collection[int]) -> None:
    """Keep every thread of this process, and those it will start, on `cpus`.

    A thread that is kept on some of them already, as OpenMP's binding does, stays there.
    """
    for tid in _threads() or [0]:
        try:
            with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
                if not os.sched_getaffinity(tid) <= set(cpus):
                    os.sched_setaffinity(tid, cpus)
        except (OSError, AttributeError) as error:
            raise UnsupportedError(
                f"cannot pin to CPUs {format_cpus(cpus)}: {error}",
                "see which CPUs are effective with honed doctor",
            ) from error


@contextlib.contextmanager
def starting_on(cpus: Collection[int]) -> Iterator[None]:
    """Processes that this thread starts inside the block begin life on `cpus`.

    An OpenMP runtime that is preloaded lays out its places before the child's first own
    instruction, so pinning from inside the child comes too late for it.
    """
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpus_allowed() -> dict[int, tuple[int, ...]]:
    """Every thread's affinity."""
    found = {}
    for tid in _threads():
        with contextlib.suppress(ProcessLookupError):
            found[tid] = tuple(sorted(os.sched_getaffinity(tid)))
    return found


def allowed_cpus() -> tuple[int, ...]:
    """The CPUs that at least one thread may run on."""
    return tuple(sorted({cpu for cpus in cpus_allowed().values() for cpu in cpus}))


def strays(cpus: Collection[int]) -> dict[int, tuple[int, ...]]:
    """The threads that may run elsewhere than on `cpus`; empty is the proof of pinning."""
    return {tid: found for tid, found in cpus_allowed().items() if not set(found) <= set(cpus)}


def _threads() -> list[int]:
    try:
        return sorted(int(p.name) for p in _TASKS.iterdir())
    except OSError:
        return []
