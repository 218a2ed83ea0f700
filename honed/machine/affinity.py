"""The CPUs that the threads of this process and its children may run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from honed.errors import UnsupportedError
from honed.machine.topology import format_cpus

_TASKS = Path("/proc/self/task")


def pin(cpus: Collection[int]) -> None:
    """Keep all present and later threads of this process on `cpus`.

    A thread that is already bound to some of `cpus`, by OpenMP for example, stays as it is.
    """
    for tid in _threads() or [0]:
        try:
            with contextlib.suppress(ProcessLookupError):  # the thread has just ended
                if not os.sched_getaffinity(tid) <= set(cpus):
                    os.sched_setaffinity(tid, cpus)
        except (OSError, AttributeError) as error:
            raise UnsupportedError(
                f"cannot pin to CPUs {format_cpus(cpus)}: {error}",
                "see which CPUs are effective with honed doctor",
            ) from error


@contextlib.contextmanager
def starting_on(cpus: Collection[int]) -> Iterator[None]:
    """Inside the block, processes that this thread starts run on `cpus` from the beginning.

    A preloaded OpenMP runtime lays out its places before the child's first instruction, so
    pinning from inside the child would be too late.
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
    """The CPUs that each thread of this process may run on, by thread id."""
    cpus = {}
    for tid in _threads():
        with contextlib.suppress(ProcessLookupError):
            cpus[tid] = tuple(sorted(os.sched_getaffinity(tid)))
    return cpus


def allowed_cpus() -> tuple[int, ...]:
    """The CPUs that at least one thread may run on."""
    return tuple(sorted({cpu for cpus in cpus_allowed().values() for cpu in cpus}))


def _threads() -> list[int]:
    try:
        return sorted(int(p.name) for p in _TASKS.iterdir())
    except OSError:
        return []
