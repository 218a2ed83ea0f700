"""The memory policy of a worker: the nodes that its pages come from."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from pathlib import Path

from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, SpawnEffect, Value
from honed.machine import affinity, kernel, topology
from honed.machine.proc import read_text

# linux/mempolicy.h
_DEFAULT, _BIND, _INTERLEAVE, _LOCAL = 0, 2, 3, 4
_MODES = {"local": _BIND, "any": _DEFAULT, "interleave": _INTERLEAVE}


def memory_policy(policy: Value, cpus: Collection[int]) -> None:
    """Set the policy, in the worker. `local` means the nodes of `cpus`."""
    try:
        kernel.set_memory_policy(_MODES[str(policy)], policy_nodes(str(policy), cpus))
    except OSError as error:
        refusal = _refusal(error)
        raise UnsupportedError(f"numa={policy}: {refusal.why}", refusal.how) from error


def policy_nodes(policy: str, cpus: Collection[int], root: Path = Path("/")) -> tuple[int, ...]:
    """The nodes that a policy names for an instance on `cpus`: nodes that its cpuset allows."""
    if policy == "any":
        return ()
    machine = topology.read(root / "sys")
    of_cpus = {c.node for c in machine.cpus if c.id in cpus}
    nodes = machine.memory_nodes(of_cpus if policy == "local" else machine.nodes)
    status = read_text(root / "proc/self/status")
    match = re.search(r"^Mems_allowed_list:(.*)$", status, re.MULTILINE)
    allowed = topology.parse_cpus(match[1]) if match else ()
    return tuple(n for n in nodes if n in allowed) or allowed or nodes


def policy_value(
    mode: int, nodes: Collection[int], cpus: Collection[int], root: Path = Path("/")
) -> Value | None:
    """The knob's value for the kernel's mode and nodes; None if no value describes them."""
    is_local = mode == _BIND and set(nodes) == set(policy_nodes("local", cpus, root))
    if is_local or mode == _LOCAL:
        return "local"
    return {_DEFAULT: "any", _INTERLEAVE: "interleave"}.get(mode)


def _value_in_force() -> Value | None:
    try:
        return policy_value(*kernel.memory_policy(), affinity.allowed_cpus())
    except OSError:
        return None


def _available() -> Availability:
    """Whether policies can be set: a container that forbids setting one forbids reading it too."""
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
        "numa", "where memory comes from: the nodes of the instance's cores, any, or all in turn",
        ("local", "any", "interleave"), "spawn", available=_available,
        spawn=lambda value: SpawnEffect(in_child={"memory_policy": value}),
        read_back=_value_in_force,
        moot=lambda: "" if len(topology.read().nodes) > 1 else "all memory is in one node",
    ),
)  # fmt: skip

IN_CHILD = {"memory_policy": memory_policy}
