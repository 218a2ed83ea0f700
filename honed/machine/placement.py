"""Which cores and memory nodes each instance gets, from the topology, the limits and a request."""

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
class PlacementRequest:
    """How many instances are to be placed, and how.

    Without `threads` the instances share the cores evenly; with numa "local", no instance that
    fits into one node is split. With smt "on", the second siblings of a node are used once all of
    the first ones are. With numa "any" or "interleave", an instance uses the memory of all nodes.
    The core of each CPU in `reserved` stays free.
    """

    instances: int = 1
    threads: int | None = None
    smt: str = "off"
    numa: str = "local"
    oversubscribe: bool = False
    reserved: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """The CPUs of one instance, one per thread, and the nodes that its memory should come from."""

    cpus: tuple[int, ...]
    nodes: tuple[int, ...]


def place(topology: Topology, limits: Limits, request: PlacementRequest) -> tuple[Placement, ...]:
    """One Placement per instance; where they do not fit, a UsageError says by how much."""
    free = _free(topology, limits, request)
    by_node: dict[int, list[Core]] = {}
    for core in free:
        by_node.setdefault(core[0].node, []).append(core)
    units = sum(len(core) for core in free)
    capacity = _capacity(topology, limits, request, units)
    threads = request.threads or _even_share(by_node, capacity, request)
    if threads * request.instances > capacity:
        if not (request.oversubscribe and free):
            raise _does_not_fit(topology, limits, request, capacity)
        placed = _overlapping(free, request.instances, threads)
    else:
        placed = _disjoint(by_node, request.instances, threads)
    return tuple(_placement(topology, cpus, request) for cpus in placed)


def place_sizes(
    topology: Topology, limits: Limits, request: PlacementRequest, sizes: Sequence[int]
) -> tuple[Placement, ...]:
    """One Placement of so many cores for each of `sizes`, in their order; of `request` everything
    but the number of instances and threads counts.

    The largest are placed first, so that they find whole nodes. Sizes that do not fit raise a
    UsageError, or overlap where this is allowed: each size then has the machine to itself.
    """
    free = _free(topology, limits, request)
    capacity = _capacity(topology, limits, request, sum(len(core) for core in free))
    overlap = sum(sizes) > capacity
    if overlap and not request.oversubscribe:
        raise UsageError(
            f"instances of {' + '.join(map(str, sizes))} cores need {sum(sizes)} cores; "
            f"{capacity} {'is' if capacity == 1 else 'are'} effective here",
            "smaller sizes or oversubscribe=true",
        )
    taken = request.reserved
    places: dict[int, list[Placement]] = {}
    for size, count in sorted(Counter(sizes).items(), reverse=True):
        group = replace(request, instances=count, threads=size, reserved=taken)
        places[size] = list(place(topology, limits, group))
        if not overlap:
            taken = (*taken, *(cpu for each in places[size] for cpu in each.cpus))
    return tuple(places[size].pop(0) for size in sizes)


def _free(topology: Topology, limits: Limits, request: PlacementRequest) -> list[Core]:
    """The usable cores in order of preference; with SMT off, only the first CPU of each."""
    allowed = set(limits.cpus)
    taken = {sibling for cpu in request.reserved for sibling in topology.siblings(cpu)}
    cores = [tuple(c for c in core if c.id in allowed - taken) for core in topology.cores()]
    cores = [core if request.smt == "on" else core[:1] for core in cores if core]
    return sorted(cores, key=lambda core: (core[0].node, _KIND_ORDER[core[0].kind], core[0].id))


def _capacity(topology: Topology, limits: Limits, request: PlacementRequest, units: int) -> int:
    """How many threads fit: on `units` free CPUs, and in the quota that reserved cores leave."""
    reserved_cores = {topology.siblings(cpu) for cpu in request.reserved if cpu in limits.cpus}
    if limits.quota is None:
        return units
    return min(units, max(0, limits.cap(len(limits.cpus)) - len(reserved_cores)))


def _even_share(
    by_node: Mapping[int, Sequence[Core]], capacity: int, request: PlacementRequest
) -> int:
    share = capacity // request.instances
    sizes = [sum(len(core) for core in cores) for cores in by_node.values()]
    if request.numa == "local" and 0 < share <= max(sizes):
        while sum(size // share for size in sizes) < request.instances:
            share -= 1
    return max(1, share)


def _disjoint(
    by_node: Mapping[int, Sequence[Core]], instances: int, threads: int
) -> list[list[Cpu]]:
    """Places as many instances as possible inside one node each; the others span several."""
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
    """How many instances go to each node. Each goes to the node with the lowest load per core."""
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
    """`instances` groups of `threads` CPUs inside one node, and the CPUs that remain."""
    if instances * threads <= len(cores):
        groups = [cores[i * threads : (i + 1) * threads] for i in range(instances)]
        chosen = [[core[0] for core in group] for group in groups]
    else:
        chosen = _sharing(cores, instances, threads)
    used = {c.id for cpus in chosen for c in cpus}
    return chosen, [c for c in _physical_first(cores) if c.id not in used]


def _sharing(cores: Sequence[Core], instances: int, threads: int) -> list[list[Cpu]]:
    """Groups that need second siblings; each has cores of its own if the numbers allow it."""
    bounds = [len(cores) * i // instances for i in range(instances + 1)]
    groups = [_physical_first(cores[a:b]) for a, b in pairwise(bounds)]
    if all(len(group) >= threads for group in groups):
        return [group[:threads] for group in groups]
    # Filled core by core, so that few instances share a core.
    flat = [cpu for core in cores for cpu in core]
    return [flat[i * threads : (i + 1) * threads] for i in range(instances)]


def _physical_first(cores: Sequence[Core]) -> list[Cpu]:
    widest = max((len(core) for core in cores), default=0)
    return [core[i] for i in range(widest) for core in cores if i < len(core)]


def _spanning(left: Mapping[int, list[Cpu]], threads: int) -> list[Cpu]:
    """`threads` CPUs from as few nodes as possible, of one socket if one has enough."""
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
        node = max(rest, key=lambda n: (len(pool[n]), -n))
        if chosen and len(pool[node]) >= needed:  # the smallest node that has enough
            enough = [n for n in rest if len(pool[n]) >= needed]
            node = min(enough, key=lambda n: (len(pool[n]), n))
        chosen.append(node)
        needed -= len(pool[node])
    return _first_siblings_first([cpu for node in sorted(chosen) for cpu in pool[node]])[:threads]


def _first_siblings_first(cpus: Sequence[Cpu]) -> list[Cpu]:
    """The first CPU of every core before any second one; otherwise in the given order."""
    seen: Counter[int] = Counter()
    ranked = []
    for index, cpu in enumerate(cpus):
        ranked.append((seen[cpu.core], index, cpu))
        seen[cpu.core] += 1
    return [cpu for *_, cpu in sorted(ranked, key=lambda r: r[:2])]


def _overlapping(free: Sequence[Core], instances: int, threads: int) -> list[list[Cpu]]:
    """More threads than CPUs: instances take CPUs in turn; an instance has no CPU twice."""
    cpus = _physical_first(free)
    width = min(threads, len(cpus))
    return [[cpus[(i * width + j) % len(cpus)] for j in range(width)] for i in range(instances)]


def _placement(topology: Topology, cpus: Sequence[Cpu], request: PlacementRequest) -> Placement:
    nodes = {cpu.node for cpu in cpus} if request.numa == "local" else set(topology.nodes)
    return Placement(tuple(sorted(c.id for c in cpus)), topology.memory_nodes(nodes))


def _does_not_fit(
    topology: Topology, limits: Limits, request: PlacementRequest, capacity: int
) -> UsageError:
    threads = request.threads or 1
    quota = "none" if limits.quota is None else f"{limits.quota:g}"
    causes = [f"affinity {len(limits.cpus)}", f"quota {quota}"]
    if request.reserved:
        causes.append(f"reserved {len(request.reserved)}")
    with_siblings = sum(map(len, _free(topology, limits, replace(request, smt="on"))))
    with_siblings = _capacity(topology, limits, request, with_siblings)
    if with_siblings > capacity:
        causes.append("smt off")
    message = (
        f"{_count(request.instances, 'instance')} x {_count(threads, 'thread')} need "
        f"{_count(request.instances * threads, 'core')}; {capacity} "
        f"{'is' if capacity == 1 else 'are'} effective here ({', '.join(causes)})"
    )
    hints = []
    if capacity >= threads:
        hints.append(f"instances={capacity // threads}")
    if capacity >= request.instances and threads > 1:
        hints.append(f"threads={capacity // request.instances}")
    if with_siblings >= request.instances * threads:
        hints.append("smt=on")
    return UsageError(message, " or ".join([*hints, "oversubscribe=true"]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
