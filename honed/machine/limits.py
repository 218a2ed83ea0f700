"""What this process may use: affinity, cpuset and quota for CPUs, control groups for memory."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from honed.machine.topology import format_cpus, parse_cpus

# Without a limit, v1 writes the largest multiple of the page size in a signed 64-bit number.
_UNLIMITED_BYTES = 2**60


@dataclass(frozen=True, slots=True)
class Limits:
    """`cpus` may be run on; `quota` is how many CPUs' worth of time per second, None: no limit.

    `why` maps affinity, cpuset, quota and memory to what was found, for messages.
    """

    cpus: tuple[int, ...]
    quota: float | None = None
    memory_bytes: int | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def effective_count(self) -> int:
        """How many CPUs can be kept busy at once."""
        return self.cap(len(self.cpus))

    def cap(self, count: int) -> int:
        """`count`, or the quota's whole CPUs where they are fewer; at least 1."""
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
    """The limits of this process. `root` holds proc/self and the mounts (tests inject one)."""
    allowed = set(own_affinity() if affinity is None else affinity)
    why = {"affinity": format_cpus(allowed)}
    cpus = set(allowed)
    for path, listed in _cpusets(root):
        why["cpuset"] = f"{format_cpus(listed)} by {path}"
        # A stale view of another namespace must not leave us without any CPU.
        cpus = cpus & set(listed) or cpus
    quota = min(_quotas(root), default=None)
    memory = min(_memories(root), default=None)
    if quota is not None:
        why["quota"] = f"{quota[0]:g} CPUs by {quota[1]}"
    if memory is not None:
        why["memory"] = f"{memory[0]} bytes by {memory[1]}"
    return Limits(
        tuple(sorted(cpus)),
        None if quota is None else quota[0],
        None if memory is None else memory[0],
        why,
    )


def own_affinity() -> tuple[int, ...]:
    """The CPUs that this thread may run on; every CPU where the system has no such call."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """This process's control group folders and their version, each before its parent.

    Both versions are looked at: a hybrid machine mounts both, and one of them has the controller.
    """
    paths = _group_paths(root)
    for mount in _mounts(root):
        name = controller if mount.version == 1 else ""
        if name not in paths or not (mount.version == 2 or controller in mount.options):
            continue
        inside = _inside(paths[name], mount.source)
        here = root / str(mount.point).lstrip("/")
        folder = here / inside
        if not folder.is_dir():
            folder = here  # the path is another namespace's; the mount is what we see of ours
        while True:
            yield folder, mount.version
            if folder == here:
                break
            folder = folder.parent


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    source: PurePosixPath
    point: PurePosixPath
    options: frozenset[str]


def _mounts(root: Path) -> Iterator[_Mount]:
    """proc(5), mountinfo: id parent device root point options [tags] - type source options."""
    for line in (_text(root / "proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, *rest) = left.split(), right.split() or [""]
        if kind not in ("cgroup", "cgroup2") or len(fields) < 5:
            continue
        source, point = (PurePosixPath(_unescaped(f)) for f in fields[3:5])
        options = frozenset(rest[-1].split(",")) if rest else frozenset()
        yield _Mount(2 if kind == "cgroup2" else 1, source, point, options)


def _unescaped(text: str) -> str:
    """Mount points carry spaces and the like as octal."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")


def _group_paths(root: Path) -> dict[str, PurePosixPath]:
    """Controller -> path of our group; the empty name is version 2's."""
    paths = {}
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                paths[controller] = PurePosixPath(fields[2])
    return paths


def _inside(group: PurePosixPath, source: PurePosixPath) -> str:
    """The group's path below the mount; the mount itself when the group is not under it."""
    if ".." in group.parts or ".." in source.parts or not group.is_relative_to(source):
        return "."
    return str(group.relative_to(source))


def _cpusets(root: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    for folder, version in groups("cpuset", root):
        names = ("cpuset.cpus.effective",) if version == 2 else ("cpuset.cpus", "cpus")
        for name in names:
            try:
                listed = parse_cpus(_text(folder / name) or "")
            except ValueError:
                continue
            if listed:
                yield folder / name, listed


def _quotas(root: Path) -> Iterator[tuple[float, str]]:
    """CPUs' worth of time, and the file that says so."""
    for folder, version in groups("cpu", root):
        if version == 2:
            path = folder / "cpu.max"
            words = (_text(path) or "").split()
        else:
            path = folder / "cpu.cfs_quota_us"
            words = [_text(path) or "", _text(folder / "cpu.cfs_period_us") or ""]
        # Version 2 says "max" and version 1 says -1 for no limit.
        if len(words) == 2 and all(w.isdigit() for w in words) and int(words[1]) > 0:
            yield int(words[0]) / int(words[1]), str(path)


def _memories(root: Path) -> Iterator[tuple[int, str]]:
    for folder, version in groups("memory", root):
        path = folder / ("memory.max" if version == 2 else "memory.limit_in_bytes")
        text = _text(path) or ""
        if text.isdigit() and int(text) < _UNLIMITED_BYTES:
            yield int(text), str(path)


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # absent, or a group that has just gone
        return None
