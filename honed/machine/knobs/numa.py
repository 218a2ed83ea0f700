"""The memory policy of a worker: which nodes its pages come from."""

from __future__ import annotations

import errno
from collections.abc import Collection
from pathlib import Path

from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, SpawnEffect, Value
from honed.machine import affinity, kernel, topology

# linux/mempolicy.h
_DEFAULT, _BIND, _INTERLEAVE, _LOCAL = 0, 2, 3, 4
_MODES = {"local": _BIND, "any": _DEFAULT, "interleave": _INTERLEAVE}


def memory_policy(policy: Value, cpus: Collection[int]) -> None:
    """In the worker: `local` means the nodes of its `cpus`."""
    nodes = () if policy == "any" else _nodes(str(policy), cpus)
    try:
        kernel.set_memory_policy(_MODES[str(policy)], nodes)
    except OSError as error:
        refused = _refusal(error)
        raise UnsupportedError(f"numa={policy}: {refused.why}", refused.how) from error


def policy_here() -> Value | None:
    """The word whose policy this thread has; None where it cannot be known or has no word."""
    try:
        mode, nodes = kernel.memory_policy()
    except OSError:
        return None
    if mode == _LOCAL or (
        mode == _BIND and set(nodes) == set(_nodes("local", affinity.allowed_cpus()))
    ):
        return "local"
    return {_DEFAULT: "any", _INTERLEAVE: "interleave"}.get(mode)


def _nodes(policy: str, cpus: Collection[int]) -> tuple[int, ...]:
    here = topology.read()
    ours = {c.node for c in here.cpus if c.id in cpus} if policy == "local" else here.nodes
    nodes = here.memory_nodes(ours)
    granted = _granted_nodes()
    return tuple(n for n in nodes if n in granted) or tuple(granted) or nodes


def _granted_nodes() -> tuple[int, ...]:
    """The nodes that the cpuset lets this process take memory from."""
    for line in _lines(Path("/proc/self/status")):
        name, _, value = line.partition(":")
        if name == "Mems_allowed_list":
            return topology.parse_cpus(value)
    return ()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _available() -> Availability:
    """Containers refuse to read a policy exactly where they refuse to set one."""
    try:
        kernel.memory_policy()
    except OSError as error:
        return _refusal(error)
    return AVAILABLE


def _refusal(error: OSError) -> Availability:
    if error.errno in (errno.EPERM, errno.EACCES):
        why = "this container refuses memory policies"
        return Availability(False, why, "start it with docker run --cap-add SYS_NICE")
    if error.errno == errno.ENOSYS:
        why = "this kernel has no memory policies"
        return Availability(False, why, "use a kernel built with CONFIG_NUMA")
    return Availability(False, f"the kernel refused: {error.strerror}", "honed doctor")


KNOBS = (
    Knob(
        name="numa",
        help="where memory comes from: the nodes of its own cores, any, or all in turn",
        values=("local", "any", "interleave"),
        phase="spawn",
        available=_available,
        spawn=lambda value: SpawnEffect(in_child={"memory_policy": value}),
        read_back=policy_here,
        moot=lambda: "" if len(topology.read().nodes) > 1 else "all memory is in one node",
    ),
)

IN_CHILD = {"memory_policy": memory_policy}
