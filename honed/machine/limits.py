"""Which CPUs and how much memory this process may use: affinity, cpuset, quota, memory limit."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from honed.machine.proc import counter, kilobytes, read_text
from honed.machine.topology import format_cpus, parse_cpus

# Version 1 writes the largest multiple of the page size in a signed 64-bit number for "no limit".
_UNLIMITED_BYTES = 2**60


@dataclass(frozen=True, slots=True)
class Limits:
    """The CPUs that this process may run on, its CPU quota and its memory limit (None: no limit).

    `quota` is in seconds of CPU time per second. `why` maps affinity, cpuset, quota and memory to
    the value and the file that set the limit, for messages.
    """

    cpus: tuple[int, ...]
    quota: float | None = None
    memory_bytes: int | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def effective_count(self) -> int:
        """How many CPUs this process can keep busy at once."""
        return self.cap(len(self.cpus))

    def cap(self, count: int) -> int:
        """`count`, or the whole CPUs of the quota if those are fewer; at least 1."""
        return max(1, math.floor(min(count, self.quota if self.quota is not None else count)))

    def to_json(self) -> dict[str, Any]:
        return {
            "cpus": format_cpus(self.cpus),
            "effective_cpus": self.effective_count,
            "quota": self.quota,
            "memory_bytes": self.memory_bytes,
            "why": dict(self.why),
        }


def read(root: Path = Path("/"), affinity: Collection[int] | None = None) -> Limits:
    """The limits of this process. `root` holds proc/self and the mounts (tests pass another)."""
    allowed = set(own_affinity() if affinity is None else affinity)
    why, cpus = {"affinity": format_cpus(allowed)}, set(allowed)
    for path, listed in _cpusets(root):
        why["cpuset"] = f"{format_cpus(listed)} by {path}"
        # A cpuset of another namespace may hold none of our CPUs; it is ignored.
        cpus = cpus & set(listed) or cpus
    if quota := min(_quotas(root), default=None):
        why["quota"] = f"{quota[0]:g} CPUs by {quota[1]}"
    if memory := min(_memories(root), default=None):
        why["memory"] = f"{memory[0]} bytes by {memory[1]}"
    return Limits(tuple(sorted(cpus)), quota and quota[0], memory and memory[0], why)


def own_affinity() -> tuple[int, ...]:
    """The CPUs that this thread may run on; every CPU where the system cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """The folders and versions of this process's control groups, each group before its parent.

    A hybrid machine mounts both versions, and one of them has the controller.
    """
    paths = _group_paths(root)
    for mount in _mounts(root):
        name = controller if mount.version == 1 else ""
        if name not in paths or not (mount.version == 2 or controller in mount.options):
            continue
        here = root / str(mount.point).lstrip("/")
        folder = here / _inside(paths[name], mount.source)
        if not folder.is_dir():
            folder = here  # the path belongs to another namespace; the mount shows our group
        yield folder, mount.version
        while folder != here:
            folder = folder.parent
            yield folder, mount.version


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    source: PurePosixPath
    point: PurePosixPath
    options: frozenset[str]


def _mounts(root: Path) -> Iterator[_Mount]:
    """proc(5), mountinfo: id parent device root point options [tags] - type source options."""
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, *rest) = left.split(), right.split() or [""]
        if kind not in ("cgroup", "cgroup2") or len(fields) < 5:
            continue
        source, point = (PurePosixPath(_unescaped(f)) for f in fields[3:5])
        options = frozenset(rest[-1].split(",")) if rest else frozenset()
        yield _Mount(2 if kind == "cgroup2" else 1, source, point, options)


def _unescaped(text: str) -> str:
    """The mount point; mountinfo writes spaces and the like as octal numbers."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")


def _group_paths(root: Path) -> dict[str, PurePosixPath]:
    """The path of our group for each controller; version 2 has one path, under the empty name."""
    paths = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                paths[controller] = PurePosixPath(fields[2])
    return paths


def _inside(group: PurePosixPath, source: PurePosixPath) -> str:
    """The path of the group below the mount; the mount itself if the group is not under it."""
    if ".." in group.parts or ".." in source.parts or not group.is_relative_to(source):
        return "."
    return str(group.relative_to(source))


def _cpusets(root: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    for folder, version in groups("cpuset", root):
        names = ("cpuset.cpus.effective",) if version == 2 else ("cpuset.cpus", "cpus")
        for name in names:
            try:
                listed = parse_cpus(read_text(folder / name))
            except ValueError:
                continue
            if listed:
                yield folder / name, listed


def _quotas(root: Path) -> Iterator[tuple[float, str]]:
    """Each quota in CPUs, and the file that sets it."""
    for folder, version in groups("cpu", root):
        path = folder / ("cpu.max" if version == 2 else "cpu.cfs_quota_us")
        words = read_text(path).split()
        if version == 1:
            words.append(read_text(folder / "cpu.cfs_period_us"))
        # For no limit, version 2 writes "max" and version 1 writes -1.
        if len(words) == 2 and all(w.isdigit() for w in words) and int(words[1]) > 0:
            yield int(words[0]) / int(words[1]), str(path)


def memory_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed for lack of memory since the machine started.

    The kernel counts each kill in several places (the machine, our control groups), and all are
    added up: only a rise between two calls means something.
    """
    kills = counter(read_text(root / "proc/vmstat"), "oom_kill") or 0
    for folder, version in groups("memory", root):
        name = "memory.events" if version == 2 else "memory.oom_control"
        kills += counter(read_text(folder / name), "oom_kill") or 0
    return kills


def free_bytes(root: Path = Path("/")) -> int | None:
    """How many bytes this process may still allocate without swapping; None where unknown.

    The least of what the machine has available and what each control group leaves. Cached files
    that the kernel can drop count as free.
    """
    available = kilobytes(read_text(root / "proc/meminfo"), "MemAvailable")
    left = [] if available is None else [available]
    for folder, version in groups("memory", root):
        limit, used = (
            read_text(folder / name)
            for name in (
                ("memory.max", "memory.current")
                if version == 2
                else ("memory.limit_in_bytes", "memory.usage_in_bytes")
            )
        )
        if limit.isdigit() and used.isdigit() and int(limit) < _UNLIMITED_BYTES:
            name = "inactive_file" if version == 2 else "total_inactive_file"
            cached = counter(read_text(folder / "memory.stat"), name) or 0
            left.append(max(0, int(limit) - int(used) + cached))
    return min(left, default=None)


def _memories(root: Path) -> Iterator[tuple[int, str]]:
    for folder, version in groups("memory", root):
        path = folder / ("memory.max" if version == 2 else "memory.limit_in_bytes")
        text = read_text(path)
        if text.isdigit() and int(text) < _UNLIMITED_BYTES:
            yield int(text), str(path)
