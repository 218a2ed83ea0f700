"""A real memory control group, whose processes the kernel kills beyond its limit."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_EMPTY_S = 10.0  # for the kernel to take the last process out of the group


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path | None]:
    """The folder of a new group, of whichever version the machine has; None where this user may
    not make one."""
    version_1 = (_ROOT / "memory" / "memory.limit_in_bytes").exists()
    group = (_ROOT / "memory" if version_1 else _ROOT) / f"honed-test-{os.getpid()}"
    try:
        group.mkdir()
        limit = group / ("memory.limit_in_bytes" if version_1 else "memory.max")
        limit.write_text(str(limit_bytes))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    yield group
    deadline_s = time.monotonic() + _EMPTY_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
