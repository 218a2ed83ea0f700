"""Where this process's threads may run, where they ran, and how many really did."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from honed.errors import UnsupportedError
from honed.machine.topology import format_cpus

_TASKS = Path("/proc/self/task")
_LAST_CPU = 38  # proc(5), stat: field 39, counted from 0
_USER_TICKS, _SYSTEM_TICKS = 13, 14


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


def thread_times() -> dict[int, float]:
    """CPU seconds of every thread since it began."""
    times = {}
    for tid in _threads():
        with contextlib.suppress(OSError):
            times[tid] = _cpu_s(tid)
    return times


def _cpu_s(tid: int) -> float:
    try:
        return int((_TASKS / str(tid) / "schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, IndexError):  # a kernel without scheduler statistics
        fields = _stat(tid)
        ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        return ticks / os.sysconf("SC_CLK_TCK")


def ran(
    before: Mapping[int, float], after: Mapping[int, float], wall_s: float, share: float = 0.05
) -> tuple[int, ...]:
    """The threads that used more than `share` of the time between two `thread_times()`."""
    least_s = share * wall_s
    return tuple(tid for tid, cpu_s in after.items() if cpu_s - before.get(tid, 0.0) > least_s)


def running_threads(
    before: Mapping[int, float], after: Mapping[int, float], wall_s: float, share: float = 0.05
) -> int:
    """How many threads really ran; a pool's parked threads do not count."""
    return len(ran(before, after, wall_s, share))


def cpus_ran_on(threads: Collection[int] | None = None) -> tuple[int, ...]:
    """The CPUs that these threads (default: all) ran on last.

    A thread that has slept since before it was pinned still shows its old CPU; pass `ran(...)`.
    """
    found = set()
    for tid in _threads() if threads is None else threads:
        with contextlib.suppress(OSError):
            found.add(int(_stat(tid)[_LAST_CPU]))
    return tuple(sorted(found))


def _stat(tid: int) -> list[str]:
    """The fields of stat; the second, a name in brackets, may itself hold spaces and brackets."""
    head, _, tail = (_TASKS / str(tid) / "stat").read_text().rpartition(")")
    return [head.partition(" ")[0], head, *tail.split()]


def _threads() -> list[int]:
    try:
        return sorted(int(p.name) for p in _TASKS.iterdir())
    except OSError:
        return []
