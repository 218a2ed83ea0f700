"""The sockets, cores, SMT siblings, memory nodes and caches that the kernel lists in sysfs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from honed.machine.proc import kilobytes, read_int, read_text

Kind = Literal["performance", "efficiency", "standard"]

# A core whose capacity is below this share of the strongest core's counts as an efficiency core.
# Cores of one kind differ by a few percent (favoured cores); little cores have half or less.
_EFFICIENCY_CAPACITY = 0.7
_CACHE_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_LOCAL_DISTANCE, _REMOTE_DISTANCE = 10, 20  # ACPI SLIT's values, used where the kernel has none


@dataclass(frozen=True, slots=True)
class Cpu:
    """One logical CPU. Unlike sysfs's core_id, `core` is unique over the whole machine."""

    id: int
    core: int
    socket: int
    node: int
    kind: Kind = "standard"
    max_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    level: int
    kind: str  # data, instruction, unified
    size_bytes: int
    cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """The online CPUs, ordered by id. `nodes` maps each node to its bytes (0: no memory)."""

    cpus: tuple[Cpu, ...]
    nodes: Mapping[int, int] = field(default_factory=dict)
    caches: tuple[Cache, ...] = ()
    offline: tuple[int, ...] = ()
    distances: Mapping[int, Mapping[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cpus", tuple(sorted(self.cpus, key=lambda c: c.id)))
        object.__setattr__(self, "nodes", MappingProxyType(dict(sorted(self.nodes.items()))))

    def cores(self) -> tuple[tuple[Cpu, ...], ...]:
        """The online CPUs of each physical core; the cores are ordered by their first CPU."""
        by_core: dict[int, list[Cpu]] = {}
        for cpu in self.cpus:
            by_core.setdefault(cpu.core, []).append(cpu)
        return tuple(tuple(cpus) for cpus in by_core.values())

    def siblings(self, cpu: int) -> tuple[int, ...]:
        """The online CPUs of the core of `cpu`, `cpu` among them; empty if it is not online."""
        core = next((c.core for c in self.cpus if c.id == cpu), None)
        return tuple(c.id for c in self.cpus if core is not None and c.core == core)

    def physical(self) -> tuple[int, ...]:
        """The first CPU of every physical core."""
        return tuple(core[0].id for core in self.cores())

    def memory_nodes(self, nodes: Iterable[int]) -> tuple[int, ...]:
        """`nodes`, where the nearest node with memory stands in for a node without."""
        with_memory = [n for n, size in self.nodes.items() if size > 0]
        if not with_memory:
            return tuple(sorted(set(nodes)))
        return tuple(sorted({self._nearest(node, with_memory) for node in nodes}))

    def _nearest(self, node: int, candidates: list[int]) -> int:
        if node in candidates:
            return node
        row = self.distances.get(node, {})
        return min(candidates, key=lambda other: (row.get(other, _REMOTE_DISTANCE), other))


def parse_cpus(text: str) -> tuple[int, ...]:
    """The kernel's list format: "0-3,8" -> (0, 1, 2, 3, 8)."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part.strip():
            low, _, high = part.partition("-")
            cpus.update(range(int(low), int(high or low) + 1))
    return tuple(sorted(cpus))


def format_cpus(cpus: Iterable[int]) -> str:
    """(0, 1, 2, 3, 8) -> "0-3,8"."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def read(root: Path = Path("/sys")) -> Topology:
    """The topology under a sysfs `root`. Without such a tree, every CPU counts as one core."""
    base = root / "devices/system/cpu"
    online = _list(base / "online") or _numbered(base, "cpu")
    if not online:  # another system, or a sandbox: only the CPUs are known
        can_ask = hasattr(os, "sched_getaffinity")
        ids = os.sched_getaffinity(0) if can_ask else range(os.cpu_count() or 1)
        return Topology(tuple(Cpu(cpu, cpu, 0, 0) for cpu in ids), {0: 1})
    nodes, distances, node_of = _nodes(root / "devices/system/node", online)
    kinds = _kinds(root, base, online)
    cpus: list[Cpu] = []
    core_of: dict[int, int] = {}
    for cpu in online:
        topology = base / f"cpu{cpu}" / "topology"
        siblings = _list(topology / "core_cpus_list") or _list(topology / "thread_siblings_list")
        core = core_of.setdefault(min(siblings or (cpu,)), len(core_of))
        # A kernel that does not know the socket writes -1.
        socket = max(0, read_int(topology / "physical_package_id") or 0)
        max_khz = read_int(base / f"cpu{cpu}" / "cpufreq/cpuinfo_max_freq")
        max_mhz, kind = max_khz / 1000 if max_khz else None, kinds.get(cpu, "standard")
        cpus.append(Cpu(cpu, core, socket, node_of.get(cpu, 0), kind, max_mhz))
    offline = tuple(sorted(set(_list(base / "present")) - set(online)))
    return Topology(tuple(cpus), nodes, _caches(base, online), offline, distances)


def _nodes(
    base: Path, online: tuple[int, ...]
) -> tuple[dict[int, int], dict[int, dict[int, int]], dict[int, int]]:
    """The bytes of each node, the distances between nodes, and the node of each CPU."""
    ids = _list(base / "online") or _numbered(base, "node")
    sizes, distances, node_of = dict[int, int](), dict[int, dict[int, int]](), dict[int, int]()
    for node in ids:
        sizes[node] = kilobytes(read_text(base / f"node{node}" / "meminfo"), "MemTotal") or 0
        node_of |= dict.fromkeys(_list(base / f"node{node}" / "cpulist"), node)
        row = read_text(base / f"node{node}" / "distance").split()
        distances[node] = {other: int(d) for other, d in zip(ids, row, strict=False)}
    if not sizes:  # a kernel without NUMA
        return {0: 1}, {0: {0: _LOCAL_DISTANCE}}, dict.fromkeys(online, 0)
    return sizes, distances, node_of


def _kinds(root: Path, base: Path, online: tuple[int, ...]) -> dict[int, Kind]:
    """The kind of each core, where the machine has more than one kind; else an empty mapping.

    Intel's hybrid parts have one PMU device per kind; elsewhere the kernel ranks capacities.
    """
    performance = _list(root / "devices/cpu_core/cpus")
    efficient = _list(root / "devices/cpu_atom/cpus") + _list(root / "devices/cpu_lowpower/cpus")
    if performance and efficient:
        return {cpu: "efficiency" if cpu in efficient else "performance" for cpu in online}
    capacity = {cpu: read_int(base / f"cpu{cpu}" / "cpu_capacity") for cpu in online}
    known = {cpu: c for cpu, c in capacity.items() if c}
    limit = _EFFICIENCY_CAPACITY * max(known.values(), default=0)
    if all(c >= limit for c in known.values()):
        return {}
    return {cpu: "performance" if c >= limit else "efficiency" for cpu, c in known.items()}


def _caches(base: Path, online: tuple[int, ...]) -> tuple[Cache, ...]:
    caches: dict[tuple[int, str, tuple[int, ...]], Cache] = {}
    for cpu in online:
        for index in range(8):
            folder = base / f"cpu{cpu}" / "cache" / f"index{index}"
            shared = _list(folder / "shared_cpu_list")
            if not shared:
                break
            if cpu != min(set(shared) & set(online), default=cpu):
                break  # the first CPU that shares this cache lists it, and the larger ones too
            level = read_int(folder / "level") or 0
            kind = (read_text(folder / "type") or "unified").lower()
            text = read_text(folder / "size") or "0"
            size_bytes = int(text.rstrip("KMG")) * _CACHE_UNITS.get(text[-1], 1)
            caches[level, kind, shared] = Cache(level, kind, size_bytes, shared)
    return tuple(caches[key] for key in sorted(caches))


def _list(path: Path) -> tuple[int, ...]:
    try:
        return parse_cpus(read_text(path))
    except ValueError:
        return ()


def _numbered(base: Path, stem: str) -> tuple[int, ...]:
    matches = (re.fullmatch(rf"{stem}(\d+)", p.name) for p in base.glob(f"{stem}[0-9]*"))
    return tuple(sorted(int(m[1]) for m in matches if m))
