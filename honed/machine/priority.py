"""Priority: a process that lets others go first, and how the kernel confirms it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")
_LOWEST = 19
# The numbers of sched_setattr and sched_getattr by architecture (their man page).
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
_RESET_ON_FORK = 1


def give_way(levels: int) -> int:
    """Lower this process's priority by so many levels of `nice`, and return the level it has now.

    Threads that start afterwards inherit the level, so it is set before an engine is loaded. Where
    the kernel shares the time among sessions (autogroup, sched(7)), the level of the session
    counts; it is set too where this process leads a session, as honed's workers do.
    """
    if levels > 0:
        level = min(_LOWEST, os.getpriority(os.PRIO_PROCESS, 0) + levels)
        os.setpriority(os.PRIO_PROCESS, 0, level)
        if os.getsid(0) == os.getpid():
            with contextlib.suppress(OSError):  # a kernel without it, or one asked too often
                _AUTOGROUP.write_text(str(level))
    return os.getpriority(os.PRIO_PROCESS, 0)


class _Attributes(ctypes.Structure):
    """struct sched_attr of Linux, in its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32), ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64), ("period", ctypes.c_uint64),
    )  # fmt: skip


def ask_for_slices(seconds: float) -> float | None:
    """Ask the kernel to give this thread its time in slices of this length, and return the length
    that it has now; None where the kernel has no such setting.

    A thread with short slices that wakes on a busy core runs at once, instead of after the slice
    of the thread that runs there. Its share of the time stays the same, and no right is needed
    (Linux 6.12 and newer; sched(7), sched_setattr(2)). Threads and processes that it starts have
    the usual slices.
    """
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    calls = _CALLS.get(platform.machine())
    if calls is not None and policy == os.SCHED_OTHER:
        wanted = _Attributes(
            size=ctypes.sizeof(_Attributes), flags=_RESET_ON_FORK,
            nice=os.getpriority(os.PRIO_PROCESS, 0), runtime=int(seconds * 1e9),
        )  # fmt: skip
        ctypes.CDLL(None).syscall(calls[0], 0, ctypes.byref(wanted), 0)
    return slice_s()


def slice_s() -> float | None:
    """The length of this thread's slices; None where the kernel does not tell."""
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return None
    size = ctypes.sizeof(_Attributes)
    found = _Attributes(size=size)
    failed = ctypes.CDLL(None).syscall(calls[1], 0, ctypes.byref(found), size, 0)
    return None if failed or not found.runtime else found.runtime / 1e9
