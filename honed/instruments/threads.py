"""On which cores the threads of this process ran, and how many of them did."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LAST_CPU = 38  # proc(5), stat: field 39, counted from 0
_USER_TICKS, _SYSTEM_TICKS = 13, 14
_RAN_SHARE = 0.05  # of the time; a thread that used less only did housekeeping
# A thread that wakes another is runnable beside it until it sleeps itself: microseconds, or longer
# where the one that it woke has taken its core. Threads that fight for a core make it a whole one.
_OVERLAP = 1 / 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Seconds of every thread since it began: on a core, and runnable (on one or waiting)."""

    at_s: float
    cpu_s: Mapping[int, float]
    runnable_s: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Burst:
    """What every thread did between two snapshots."""

    wall_s: float
    cpu_s: Mapping[int, float]
    runnable_s: Mapping[int, float]

    def without(self, tid: int) -> Burst:
        """This burst without one of its threads."""
        cpu_s = {t: s for t, s in self.cpu_s.items() if t != tid}
        runnable_s = {t: s for t, s in self.runnable_s.items() if t != tid}
        return Burst(self.wall_s, cpu_s, runnable_s)

    def ran(self) -> tuple[int, ...]:
        """The threads that used more than a twentieth of the time; parked ones did not."""
        return tuple(t for t, s in self.cpu_s.items() if s > _RAN_SHARE * self.wall_s)

    def wanted_to_run(self) -> tuple[int, ...]:
        """The threads that were runnable for more than a twentieth of the time.

        Unlike `ran`, this does not depend on how loaded the machine is.
        """
        return tuple(t for t, s in self.runnable_s.items() if s > _RAN_SHARE * self.wall_s)

    @property
    def runnable_mean(self) -> float:
        """How many threads were runnable, as the mean over the time.

        A thread that lacks a core is runnable too: however loaded the machine is, threads of
        which at most n compute at a time stay near n.
        """
        return sum(self.runnable_s.values()) / self.wall_s

    def at_once(self) -> int:
        """`runnable_mean`, rounded up beyond the overlap of a thread and the one that it wakes;
        no more than ran."""
        return min(len(self.ran()), math.ceil(self.runnable_mean - _OVERLAP))


def thread_times() -> dict[int, float]:
    """CPU seconds of every thread since it began."""
    return {tid: cpu_s for tid, (cpu_s, _) in _times().items()}


def snapshot() -> Snapshot:
    """The counters now; `burst` takes the difference of two snapshots."""
    at_s, times = time.perf_counter(), _times()
    return Snapshot(
        at_s,
        {tid: cpu_s for tid, (cpu_s, _) in times.items()},
        {tid: cpu_s + waited_s for tid, (cpu_s, waited_s) in times.items()},
    )


def burst(before: Snapshot, after: Snapshot) -> Burst:
    """The difference of two snapshots, of the threads that live in the second."""
    cpu_s = {t: s - before.cpu_s.get(t, 0.0) for t, s in after.cpu_s.items()}
    runnable_s = {t: s - before.runnable_s.get(t, 0.0) for t, s in after.runnable_s.items()}
    return Burst(after.at_s - before.at_s, cpu_s, runnable_s)


def _times() -> dict[int, tuple[float, float]]:
    """Seconds of every thread: on a core, and waiting for one."""
    times = {}
    for tid in _threads():
        with contextlib.suppress(OSError):
            times[tid] = _cpu_and_waited_s(tid)
    return times


def _cpu_and_waited_s(tid: int) -> tuple[float, float]:
    try:
        cpu_ns, waited_ns, *_ = (_TASKS / str(tid) / "schedstat").read_text().split()
        return int(cpu_ns) / 1e9, int(waited_ns) / 1e9
    except (FileNotFoundError, ValueError):  # a kernel without scheduler statistics
        fields = _stat(tid)
        ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        return ticks / os.sysconf("SC_CLK_TCK"), 0.0


def cpus_ran_on(threads: Collection[int] | None = None) -> tuple[int, ...]:
    """The CPUs that these threads (default: all) ran on last.

    A thread that has slept since before it was pinned still shows its old CPU; pass `Burst.ran()`.
    """
    found = set()
    for tid in _threads() if threads is None else threads:
        with contextlib.suppress(OSError):
            found.add(int(_stat(tid)[_LAST_CPU]))
    return tuple(sorted(found))


def apart(allowed: Sequence[Collection[int]]) -> int:
    """How many threads can run at the same time, each on a CPU of its own.

    `allowed` holds the CPUs that each thread may run on. The result is the size of a maximum
    matching of threads to CPUs (Kuhn's augmenting paths).
    """
    thread_on: dict[int, int] = {}

    def place(thread: int, tried: set[int]) -> bool:
        for cpu in allowed[thread]:
            if cpu in tried:
                continue
            tried.add(cpu)
            if cpu not in thread_on or place(thread_on[cpu], tried):
                thread_on[cpu] = thread
                return True
        return False

    return sum(place(thread, set()) for thread in range(len(allowed)))


def _stat(tid: int) -> list[str]:
    """The fields of stat; the second, a name in brackets, may itself hold spaces and brackets."""
    head, _, tail = (_TASKS / str(tid) / "stat").read_text().rpartition(")")
    return [head.partition(" ")[0], head, *tail.split()]


def _threads() -> list[int]:
    try:
        return sorted(int(p.name) for p in _TASKS.iterdir())
    except OSError:
        return []
