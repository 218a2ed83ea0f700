"""Which cores and memory nodes each instance gets: a pure function of topology, limits and ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from honed.errors import UsageError
from honed.machine.limits import Limits
from honed.machine.topology import Cpu, Topology

Core = tuple[Cpu, ...]
_KIND_ORDER = {"performance": 0, "standard": 0, "efficiency": 1}


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be placed.

    `threads` None shares the cores evenly; with numa "local" so that no instance that fits in one
    node is split. smt "on" allows second siblings after every first one of a node. The memory
    of "any" and "interleave" is every node's. `reserved` CPUs keep their whole core free.
    """

    instances: int = 1
    threads: int | None = None
    smt: str = "off"
    numa: str = "local"
    oversubscribe: bool = False
    reserved: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """One instance's CPUs, one per thread, and the nodes its memory should come from."""

    cpus: tuple[int, ...]
    nodes: tuple[int, ...]


def place(topology: Topology, limits: Limits, ask: Ask) -> tuple[Placement, ...]:
    """One Placement per instance, or UsageError with the arithmetic."""
    free = _free(topology, limits, ask)
    by_node: dict[int, list[Core]] = {}
    for core in free:
        by_node.setdefault(core[0].node, []).append(core)
    units = sum(len(core) for core in free)
    capacity = _capacity(topology, limits, ask, units)
    threads = ask.threads or _even_share(by_node, capacity, ask)
    if threads * ask.instances > capacity:
        if not (ask.oversubscribe and free):
            raise _does_not_fit(topology, limits, ask, capacity)
        placed = _overlapping(free, ask.instances, threads)
    else:
        placed = _disjoint(by_node, ask.instances, threads)
    return tuple(_placement(topology, cpus, ask) for cpus in placed)


def _free(topology: Topology, limits: Limits, ask: Ask) -> list[Core]:
    """Usable cores, the preferred first; with SMT off, one CPU of each."""
    allowed = set(limits.cpus)
    taken = {sibling for cpu in ask.reserved for sibling in topology.siblings(cpu)}
    cores = [tuple(c for c in core if c.id in allowed - taken) for core in topology.cores()]
    cores = [core if ask.smt == "on" else core[:1] for core in cores if core]
    return sorted(cores, key=lambda core: (core[0].node, _KIND_ORDER[core[0].kind], core[0].id))


def _capacity(topology: Topology, limits: Limits, ask: Ask, units: int) -> int:
    """How many threads fit: what is free, under the quota less what the reserved cores may use."""
    reserved_cores = {topology.siblings(cpu) for cpu in ask.reserved if cpu in limits.cpus}
    if limits.quota is None:
        return units
    return min(units, max(0, limits.cap(len(limits.cpus)) - len(reserved_cores)))


def _even_share(by_node: Mapping[int, Sequence[Core]], capacity: int, ask: Ask) -> int:
    share = capacity // ask.instances
    sizes = [sum(len(core) for core in cores) for cores in by_node.values()]
    if ask.numa == "local" and 0 < share <= max(sizes):
        while sum(size // share for size in sizes) < ask.instances:
            share -= 1
    return max(1, share)


def _disjoint(
    by_node: Mapping[int, Sequence[Core]], instances: int, threads: int
) -> list[list[Cpu]]:
    """As many instances as fit each within one node; the others span what is left."""
    counts = _per_node(by_node, instances, threads)
    placed: list[list[Cpu]] = []
    left: dict[int, list[Cpu]] = {}
    for node, cores in by_node.items():
        groups, left[node] = _within(cores, counts[node], threads)
        placed += groups
    while len(placed) < instances:
        cpus = _spanning(left, threads)
        used = {c.id for c in cpus}
        left = {node: [c for c in rest if c.id not in used] for node, rest in left.items()}
        placed.append(cpus)
    return placed


def _per_node(by_node: Mapping[int, Sequence[Core]], instances: int, threads: int) -> Counter[int]:
    """How many instances go to each node: always to the one that is loaded least per core."""
    slots = {node: sum(map(len, cores)) // threads for node, cores in by_node.items()}
    counts: Counter[int] = Counter()
    for _ in range(instances):
        room = [node for node in by_node if counts[node] < slots[node]]
        if not room:
            break
        counts[min(room, key=lambda n: ((counts[n] + 1) / len(by_node[n]), counts[n], n))] += 1
    return counts


def _within(
    cores: Sequence[Core], instances: int, threads: int
) -> tuple[list[list[Cpu]], list[Cpu]]:
    """`instances` groups of `threads` CPUs inside one node, and what is left of it."""
    if instances * threads <= len(cores):
        groups = [cores[i * threads : (i + 1) * threads] for i in range(instances)]
        chosen = [[core[0] for core in group] for group in groups]
    else:
        chosen = _sharing(cores, instances, threads)
    used = {c.id for cpus in chosen for c in cpus}
    return chosen, [c for c in _physical_first(cores) if c.id not in used]


def _sharing(cores: Sequence[Core], instances: int, threads: int) -> list[list[Cpu]]:
    """Second siblings are needed: whole cores for each instance where that works out."""
    bounds = [len(cores) * i // instances for i in range(instances + 1)]
    groups = [_physical_first(cores[a:b]) for a, b in pairwise(bounds)]
    if all(len(group) >= threads for group in groups):
        return [group[:threads] for group in groups]
    # Core by core, so that as few instances as possible share one.
    flat = [cpu for core in cores for cpu in core]
    return [flat[i * threads : (i + 1) * threads] for i in range(instances)]


def _physical_first(cores: Sequence[Core]) -> list[Cpu]:
    widest = max((len(core) for core in cores), default=0)
    return [core[i] for i in range(widest) for core in cores if i < len(core)]


def _spanning(left: Mapping[int, list[Cpu]], threads: int) -> list[Cpu]:
    """`threads` CPUs from as few nodes as possible, of one socket if one can hold them."""
    sockets: dict[int, dict[int, list[Cpu]]] = {}
    for node, cpus in left.items():
        if cpus:
            sockets.setdefault(cpus[0].socket, {})[node] = cpus
    able = [nodes for nodes in sockets.values() if sum(map(len, nodes.values())) >= threads]
    pool = able[0] if able else {n: cpus for n, cpus in left.items() if cpus}
    chosen: list[int] = []
    needed = threads
    while needed > 0:
        rest = [n for n in pool if n not in chosen]
        enough = [n for n in rest if len(pool[n]) >= needed]
        # The smallest that finishes it, else the largest.
        node = (
            min(enough, key=lambda n: (len(pool[n]), n))
            if enough and chosen
            else max(rest, key=lambda n: (len(pool[n]), -n))
        )
        chosen.append(node)
        needed -= len(pool[node])
    return _firsts_first([cpu for node in sorted(chosen) for cpu in pool[node]])[:threads]


def _firsts_first(cpus: Sequence[Cpu]) -> list[Cpu]:
    """Every core's first CPU before any second one; otherwise in the given order."""
    seen: Counter[int] = Counter()
    ranked = []
    for index, cpu in enumerate(cpus):
        ranked.append((seen[cpu.core], index, cpu))
        seen[cpu.core] += 1
    return [cpu for *_, cpu in sorted(ranked, key=lambda r: r[:2])]


def _overlapping(free: Sequence[Core], instances: int, threads: int) -> list[list[Cpu]]:
    """More threads than cores: instances go round the cores, each CPU at most once in each."""
    cpus = _physical_first(free)
    width = min(threads, len(cpus))
    return [[cpus[(i * width + j) % len(cpus)] for j in range(width)] for i in range(instances)]


def _placement(topology: Topology, cpus: Sequence[Cpu], ask: Ask) -> Placement:
    nodes = {cpu.node for cpu in cpus} if ask.numa == "local" else set(topology.nodes)
    return Placement(tuple(sorted(c.id for c in cpus)), topology.memory_nodes(nodes))


def _does_not_fit(topology: Topology, limits: Limits, ask: Ask, capacity: int) -> UsageError:
    threads = ask.threads or 1
    found = [f"affinity {len(limits.cpus)}"]
    found.append("quota none" if limits.quota is None else f"quota {limits.quota:g}")
    if ask.reserved:
        found.append(f"reserved {len(ask.reserved)}")
    with_siblings = sum(map(len, _free(topology, limits, replace(ask, smt="on"))))
    with_siblings = _capacity(topology, limits, ask, with_siblings)
    if with_siblings > capacity:
        found.append("smt off")
    message = (
        f"{_count(ask.instances, 'instance')} x {_count(threads, 'thread')} need "
        f"{_count(ask.instances * threads, 'core')}; {capacity} "
        f"{'is' if capacity == 1 else 'are'} effective here ({', '.join(found)})"
    )
    hints = []
    if capacity >= threads:
        hints.append(f"instances={capacity // threads}")
    if capacity >= ask.instances and threads > 1:
        hints.append(f"threads={capacity // ask.instances}")
    if with_siblings >= ask.instances * threads:
        hints.append("smt=on")
    return UsageError(message, " or ".join([*hints, "oversubscribe=true"]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
