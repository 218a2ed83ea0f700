"""Priority: a process that lets others go first, and how the kernel confirms it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")
_LOWEST = 19


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
