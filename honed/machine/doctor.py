"""`honed doctor`: the machine, settings that harm inference, and the knobs that work here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from honed.knob import Knob, Value
from honed.machine import facts as machine_facts
from honed.machine import isa, thread_variables
from honed.machine import limits as machine_limits
from honed.machine.limits import Limits
from honed.machine.proc import read_text
from honed.machine.spawn import in_force, machine_knobs
from honed.values import as_typed

_SYSFS_CPU = "/sys/devices/system/cpu"


@dataclass(frozen=True, slots=True)
class Advice:
    """A setting that makes times worse or less steady, and the command that changes it."""

    kind: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class KnobState:
    """A knob on this machine. `state` is the value in force when the knob is unset.

    `available` means that at least one value is; `values` has each one. `why` and `how` explain
    the values that are not available.
    """

    name: str
    help: str
    available: bool
    state: Value | None
    why: str
    how: str
    values: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class PrecisionState:
    """The instructions that multiply a precision, or `why` it is slow without them."""

    name: str
    native_by: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    effective_cpus: int
    topology: Mapping[str, Any]
    limits: Mapping[str, Any]
    facts: Mapping[str, Any]
    warnings: tuple[Advice, ...]
    precisions: tuple[PrecisionState, ...]
    knobs: tuple[KnobState, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(
    other_knobs: Iterable[Knob] = (), root: Path = Path("/"), packages: Iterable[str] = ()
) -> Diagnosis:
    """The state of the machine. `other_knobs` and `packages` are the backends' and workloads'."""
    limits = machine_limits.read(root)
    facts = machine_facts.machine_facts(root, packages)
    knobs = {**machine_knobs(), **{k.name: k for k in other_knobs}}
    return Diagnosis(
        effective_cpus=limits.effective_count,
        topology=facts["topology"],
        limits=limits.to_json(),
        facts=facts,
        warnings=(*warnings(facts, limits, root), *_variables(os.environ)),
        precisions=precisions(facts),
        knobs=tuple(state_of(knob) for knob in knobs.values()),
    )


def precisions(facts: Mapping[str, Any]) -> tuple[PrecisionState, ...]:
    """Every precision narrower than fp32."""
    flags = facts["flags"]
    return tuple(
        PrecisionState(name, isa.native_by(name, flags), isa.emulated(name, facts))
        for name in isa.NARROW
    )


def state_of(knob: Knob) -> KnobState:
    """The availability of a knob and of each of its values, and the value now in force."""
    general = knob.available()
    values = knob.values if isinstance(knob.values, tuple) else ()
    judge = knob.available_value
    each = {v: judge(v) if judge and general.ok else general for v in values}
    refused = {v: a for v, a in each.items() if not a.ok} if general.ok else {}
    return KnobState(
        name=knob.name,
        help=knob.help,
        available=general.ok and (not each or len(refused) < len(each)),
        state=in_force(knob),
        why="; ".join(f"{as_typed(v)}: {a.why}" for v, a in refused.items()) or general.why,
        how="; ".join(dict.fromkeys(a.how for a in (general, *refused.values()) if a.how)),
        values={as_typed(v): a.ok for v, a in each.items()},
    )


def warnings(
    facts: Mapping[str, Any], limits: Limits, root: Path = Path("/")
) -> tuple[Advice, ...]:
    """Advice on the settings that harm inference, the most costly first."""
    return (
        *_about_limits(facts, limits),
        *_about_clocks(facts, root),
        *_about_memory(facts),
        *_about_topology(facts, root),
    )


def _variables(environment: Mapping[str, str]) -> tuple[Advice, ...]:
    """Variables of the shell that move or limit threads: other programs inherit them."""
    inherited = thread_variables.inherited(environment)
    if not inherited:
        return ()
    assignments = ", ".join(f"{name}={value}" for name, value in inherited.items())
    message = (
        f"{assignments}: set in this shell, where they move or limit the threads of engines. "
        "honed's workers do not inherit them (threads, omp_affinity and omp_wait are honed's "
        "settings); other programs do"
    )
    return (Advice("variables", message, f"unset {' '.join(inherited)}"),)


def _about_limits(facts: Mapping[str, Any], limits: Limits) -> Iterator[Advice]:
    if limits.quota is not None and limits.quota < len(limits.cpus):
        yield Advice(
            "quota",
            f"the CPU quota allows {limits.quota:g} of {len(limits.cpus)} CPUs: engines that "
            "count CPUs start too many threads and are stopped many times a second",
            f"threads={limits.effective_count}, or docker run --cpus {len(limits.cpus)}",
        )
    limit, total = facts["memory_limit_bytes"], facts["memory_bytes"]
    if limit and total and limit < total:
        message = f"memory is limited to {limit / 2**20:.0f} of {total / 2**20:.0f} MiB"
        yield Advice("memory_limit", message, "docker run --memory BYTES")
    if count := facts["topology"]["offline"]:
        fix = f"echo 1 | sudo tee {_SYSFS_CPU}/cpu*/online"
        yield Advice("offline", f"{count} CPUs are switched off", fix)


def _about_clocks(facts: Mapping[str, Any], root: Path) -> Iterator[Advice]:
    if slow := [g for g in facts["governor"] if g != "performance"]:
        yield Advice(
            "governor",
            f"the frequency governor is {', '.join(slow)}: clocks follow the load, so times vary",
            f"echo performance | sudo tee {_SYSFS_CPU}/cpu*/cpufreq/scaling_governor",
        )
    if facts["turbo"] is False:
        intel = (root / _SYSFS_CPU.lstrip("/") / "intel_pstate/no_turbo").exists()
        file, on = ("intel_pstate/no_turbo", 0) if intel else ("cpufreq/boost", 1)
        message = "turbo is off: times are steady, but slower than this CPU allows"
        yield Advice("turbo", message, f"echo {on} | sudo tee {_SYSFS_CPU}/{file}")


def _about_memory(facts: Mapping[str, Any]) -> Iterator[Advice]:
    if facts["thp"] == "never":
        yield Advice(
            "thp",
            "transparent huge pages are off for all processes: large weights need more TLB "
            "look-ups",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        )
    if facts["swap_bytes"] and facts["swappiness"] not in (None, 0, 1):
        yield Advice(
            "swap",
            f"{facts['swap_bytes'] / 2**20:.0f} MiB of swap with swappiness "
            f"{facts['swappiness']}: the kernel may move idle weights to the disk",
            "sudo sysctl vm.swappiness=1",
        )


def _about_topology(facts: Mapping[str, Any], root: Path) -> Iterator[Advice]:
    topology = facts["topology"]
    if topology["threads_per_core"] >= 2:
        yield Advice(
            "smt",
            f"{topology['cpus']} CPUs are {topology['cores']} physical cores: "
            "engines that start a thread per CPU compete with themselves",
            "smt=off with threads or instances set",
        )
    balancing = read_text(root / "proc/sys/kernel/numa_balancing")
    if len(topology["nodes"]) >= 2 and balancing not in ("", "0"):
        # The kernel unmaps a page while it moves it to another node, also during a timed call.
        message = "automatic NUMA balancing moves memory during measurements: times vary"
        yield Advice("numa_balancing", message, "sudo sysctl kernel.numa_balancing=0")
