"""Sysfs trees of machines that the tests do not run on, written from a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honed.machine.topology import format_cpus

GIB = 2**30


@dataclass
class Machine:
    """Every present CPU as (id, core key, socket, node), and what else sysfs would say."""

    cpus: list[tuple[int, tuple[int, int], int, int]]
    node_bytes: dict[int, int]
    offline: Sequence[int] = ()
    performance: Sequence[int] = ()
    efficiency: Sequence[int] = ()
    capacity: dict[int, int] = field(default_factory=dict)
    max_khz: dict[int, int] = field(default_factory=dict)
    distance: dict[int, list[int]] = field(default_factory=dict)
    l3_bytes: int = 32 * 2**20

    def write(self, root: Path) -> Path:
        """The tree under `root`, which is returned."""
        base = root / "devices/system/cpu"
        online = [c for c in self.cpus if c[0] not in self.offline]
        put(base / "present", format_cpus(c[0] for c in self.cpus))
        put(base / "online", format_cpus(c[0] for c in online))
        for cpu in self.cpus:
            (base / f"cpu{cpu[0]}").mkdir(parents=True, exist_ok=True)
        for cpu in online:
            self._write_cpu(base / f"cpu{cpu[0]}", cpu, online)
        self._write_nodes(root / "devices/system/node", online)
        if self.performance:
            put(root / "devices/cpu_core/cpus", format_cpus(self.performance))
            put(root / "devices/cpu_atom/cpus", format_cpus(self.efficiency))
        return root

    def _write_cpu(self, folder: Path, cpu, online) -> None:
        id, core, socket, _ = cpu
        siblings = format_cpus(c[0] for c in online if c[1] == core and c[2] == socket)
        put(folder / "topology/core_cpus_list", siblings)
        put(folder / "topology/thread_siblings_list", siblings)
        put(folder / "topology/core_id", str(core[1]))  # repeats in every socket
        put(folder / "topology/physical_package_id", str(socket))
        package = format_cpus(c[0] for c in online if c[2] == socket)
        for index, (level, kind, size, shared) in enumerate(
            [
                (1, "Data", "32K", siblings),
                (1, "Instruction", "32K", siblings),
                (2, "Unified", "1024K", siblings),
                (3, "Unified", f"{self.l3_bytes // 1024}K", package),
            ]
        ):
            cache = folder / f"cache/index{index}"
            put(cache / "level", str(level))
            put(cache / "type", kind)
            put(cache / "size", size)
            put(cache / "shared_cpu_list", shared)
        if id in self.capacity:
            put(folder / "cpu_capacity", str(self.capacity[id]))
        if id in self.max_khz:
            put(folder / "cpufreq/cpuinfo_max_freq", str(self.max_khz[id]))

    def _write_nodes(self, base: Path, online) -> None:
        put(base / "online", format_cpus(self.node_bytes))
        for node, size in self.node_bytes.items():
            put(base / f"node{node}/cpulist", format_cpus(c[0] for c in online if c[3] == node))
            put(base / f"node{node}/meminfo", f"Node {node} MemTotal:       {size // 1024} kB")
            row = self.distance.get(node) or [10 if n == node else 20 for n in self.node_bytes]
            put(base / f"node{node}/distance", " ".join(map(str, row)))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def far_siblings(sockets: int, cores: int, node_bytes: int, nodes_per_socket: int = 1) -> Machine:
    """Two CPUs per core, the second ones numbered after every first one."""
    total = sockets * cores
    cpus = []
    for id in range(2 * total):
        core = id % total
        node = core // (cores // nodes_per_socket)
        cpus.append((id, (core // cores, core % cores), core // cores, node))
    count = sockets * nodes_per_socket
    return Machine(cpus, dict.fromkeys(range(count), node_bytes))


def c5_metal() -> Machine:
    """2 x Xeon Platinum 8275CL: 2 sockets x 24 cores x 2, siblings 48 apart."""
    return far_siblings(2, 24, 96 * GIB)


def ice_lake() -> Machine:
    """2 x Xeon Platinum 8380: 2 sockets x 40 cores x 2, siblings 80 apart."""
    return far_siblings(2, 40, 256 * GIB)


def epyc() -> Machine:
    """2 sockets x 64 cores x 2, four nodes per socket."""
    return far_siblings(2, 64, 64 * GIB, nodes_per_socket=4)


def laptop() -> Machine:
    """6 performance cores with two CPUs each, then 8 efficiency cores; adjacent siblings."""
    cpus = [(id, (0, id // 2), 0, 0) for id in range(12)]
    cpus += [(id, (0, 100 + id), 0, 0) for id in range(12, 20)]
    khz = {id: 4_700_000 if id < 12 else 3_500_000 for id in range(20)}
    return Machine(cpus, {0: 32 * GIB}, (), range(12), range(12, 20), max_khz=khz)


def phone_like() -> Machine:
    """Arm: 4 big and 4 little cores, which differ only in capacity."""
    cpus = [(id, (0, id), 0, 0) for id in range(8)]
    return Machine(cpus, {0: 8 * GIB}, capacity={i: 446 if i < 4 else 1024 for i in range(8)})


def adjacent() -> Machine:
    """8 cores, siblings numbered side by side."""
    return Machine([(id, (0, id // 2), 0, 0) for id in range(16)], {0: 64 * GIB})


def offline_core() -> Machine:
    """4 cores x 2, CPU 2 (a first sibling) switched off."""
    cpus = [(id, (0, id % 4), 0, 0) for id in range(8)]
    return Machine(cpus, {0: 16 * GIB}, offline=(2,))


def unequal_nodes() -> Machine:
    """One socket, 24 cores: 16 on node 0, 8 on node 1."""
    cpus = [(id, (0, id), 0, 0 if id < 16 else 1) for id in range(24)]
    return Machine(cpus, {0: 64 * GIB, 1: 32 * GIB})


def memoryless() -> Machine:
    """Three nodes of 4 cores; node 1 has no memory and is nearer to node 2 than to node 0."""
    cpus = [(id, (id // 4, id), id // 4, id // 4) for id in range(12)]
    distance = {0: [10, 30, 30], 1: [30, 10, 15], 2: [30, 15, 10]}
    return Machine(cpus, {0: 16 * GIB, 1: 0, 2: 16 * GIB}, distance=distance)


ALL = {
    f.__name__: f
    for f in (
        c5_metal, ice_lake, epyc, laptop, phone_like,
        adjacent, offline_core, unequal_nodes, memoryless,
    )
}  # fmt: skip
