"""A ceiling on the memory of processes, which the kernel enforces, so that the machine survives.

Where this user may make a memory control group, the kernel kills a process of the group that needs
more than the limit; memory that it can take back, such as cached files, is taken back first.
Elsewhere RLIMIT_DATA refuses a process more private writable memory than its share, touched or
not, which is stricter: the stacks of idle threads count in full.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.errors import UnsupportedError
from honed.machine import limits
from honed.machine.proc import counter, read_text
from honed.units import size

_PREFIX = "honed-"
_EMPTY_S = 5.0  # for the kernel to take the last process out of a group
_JOIN = 'echo $$ > "$0"; exec "$@"'  # $0 is the file of a group that holds its processes
GROUP, DATA = "a memory control group", "RLIMIT_DATA"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`limit_bytes` for `processes` together. `group` is None where no group can be made: each
    process then has an equal share as its RLIMIT_DATA."""

    limit_bytes: int
    processes: int
    group: Path | None = None

    def words(self, command: Sequence[str]) -> list[str]:
        """The command as a process that is in the group before its program begins: a group does
        not count what a process allocated before it joined."""
        if self.group is None:
            return [*command]
        return ["/bin/sh", "-c", _JOIN, str(self.group / "cgroup.procs"), *command]

    def admit(self, pid: int) -> None:
        """Put a process under the ceiling, if it is not there yet. UnsupportedError where the
        system has no such limit."""
        if self.group is not None:
            with contextlib.suppress(OSError):
                (self.group / "cgroup.procs").write_text(str(pid))
                return
        share = self.limit_bytes // self.processes
        try:
            resource.prlimit(pid, resource.RLIMIT_DATA, (share, share))
        except (AttributeError, OSError) as error:
            raise UnsupportedError(
                f"this system limits no memory: {error}", "leave memory=SIZE out"
            ) from None

    @property
    def kills(self) -> int:
        """How many processes of the group the kernel has killed for memory."""
        if self.group is None:
            return 0
        texts = (read_text(self.group / name) for name in ("memory.events", "memory.oom_control"))
        return sum(counter(text, "oom_kill") or 0 for text in texts)


@contextlib.contextmanager
def ceiling(limit_bytes: int, processes: int, root: Path = Path("/")) -> Iterator[Ceiling]:
    """A ceiling for processes that are gone when the block is left."""
    group = _new_group(limit_bytes, root)
    try:
        yield Ceiling(limit_bytes, processes, group)
    finally:
        if group is not None:
            _remove(group)


def read_back(processes: int = 1) -> dict[str, str | None]:
    """The limit that this process is under, for all processes together, and by what."""
    share, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if share != resource.RLIM_INFINITY:
        return {"memory_limit": size(share * processes), "memory_limited_by": DATA}
    found = limits.read().memory_bytes
    if found is None:
        return {"memory_limit": None, "memory_limited_by": None}
    return {"memory_limit": size(found), "memory_limited_by": GROUP}


def proves(asked_bytes: int, got_bytes: int, processes: int) -> bool:
    """Whether the limit in force is the one that was asked for: the kernel rounds to pages, and
    a limit that is shared out loses less than a byte for each process."""
    return abs(asked_bytes - got_bytes) < max(resource.getpagesize(), processes)


def _new_group(limit_bytes: int, root: Path) -> Path | None:
    """A new group with this limit and without swap; None where this user may not make one.

    A group of version 2 that holds processes gives its children no memory controller, so that
    its parents are tried after it.
    """
    for folder, version in limits.groups("memory", root):
        group = folder / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        limit, swap = (
            ("memory.max", "memory.swap.max") if version == 2
            else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        )  # fmt: skip
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():
                raise FileNotFoundError(limit)
            (group / limit).write_text(str(limit_bytes))
        except OSError:
            _remove(group)
            continue
        with contextlib.suppress(OSError):  # a kernel that counts no swap has no such file
            if (group / swap).exists():
                (group / swap).write_text("0" if version == 2 else str(limit_bytes))
        return group
    return None


def _remove(group: Path) -> None:
    deadline_s = time.monotonic() + _EMPTY_S
    while group.is_dir() and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.02)
