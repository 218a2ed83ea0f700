"""The machine's hardware, settings and installed packages, as a record keeps them."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from honed.machine import limits as machine_limits
from honed.machine import topology as machine_topology
from honed.machine.proc import kilobytes, read_int, read_text
from honed.machine.topology import Topology, format_cpus

# The instruction sets that limit the speed of a matrix product, as /proc/cpuinfo spells them: x86
# first, then Arm.
FLAGS = (
    *("sse4_2", "fma", "avx", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "fphp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svebf16", "svei8mm"),
    "sme",
)
# Packages that matter whatever the engine is; each backend names its own.
PACKAGES = ("numpy", "intel-openmp")
# Two machines with the same values here are the same hardware for a measured bound.
_HARDWARE = ("cpu", "flags", "topology", "memory_gib", "virtualised", "architecture")


def machine_facts(root: Path = Path("/"), packages: Iterable[str] = ()) -> dict[str, Any]:
    """Everything that a record keeps about the machine, with the versions of `packages`.

    The hardware and the installed packages are read once in a process; the settings, which may
    change between two Cases, are read at every call. `root` holds proc and sys (for tests).
    """
    versions = package_versions((*PACKAGES, *packages))
    return {**_lasting_facts(root), **_settings(root), "packages": versions}


@cache
def _lasting_facts(root: Path) -> dict[str, Any]:
    cpuinfo, flags = read_text(root / "proc/cpuinfo"), cpu_flags(root)
    memory_bytes = kilobytes(read_text(root / "proc/meminfo"), "MemTotal")
    return {
        "cpu": _cpu_name(root, cpuinfo),
        "architecture": platform.machine(),
        "flags": [f for f in FLAGS if f in flags],
        "topology": summary(machine_topology.read(root / "sys")),
        "memory_bytes": memory_bytes,
        "memory_gib": None if memory_bytes is None else round(memory_bytes / 2**30),
        "kernel": platform.release(),
        "container": _container(root),
        "virtualised": "hypervisor" in flags or _is_virtual_by_vendor(root),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": platform.python_version(),
    }


def _settings(root: Path) -> dict[str, Any]:
    limits = machine_limits.read(root)
    system = root / "sys/devices/system/cpu"
    governors = set(map(read_text, system.glob("cpu[0-9]*/cpufreq/scaling_governor")))
    return {
        "memory_limit_bytes": limits.memory_bytes,
        "limits": limits.to_json(),
        "governor": sorted(governors - {""}),
        "turbo": _turbo(system),
        "smt": read_text(system / "smt/control") or None,
        "swap_bytes": kilobytes(read_text(root / "proc/meminfo"), "SwapTotal"),
        "swappiness": read_int(root / "proc/sys/vm/swappiness"),
        "thp": chosen(read_text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
    }


def cpu_flags(root: Path = Path("/")) -> set[str]:
    """Every instruction set that the kernel lists."""
    return set(_field(read_text(root / "proc/cpuinfo"), "flags", "Features").split())


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A hash of the hardware; an upgrade of the kernel or of a package does not change it."""
    hardware = {key: facts.get(key) for key in _HARDWARE}
    return hashlib.sha256(json.dumps(hardware, sort_keys=True).encode()).hexdigest()[:16]


def summary(topology: Topology) -> dict[str, Any]:
    """The topology as counts, the CPUs of each node, and the size of each cache level."""
    cores = topology.cores()
    caches: dict[str, int] = {}
    for each in topology.caches:
        if each.kind != "instruction":
            name = f"l{each.level}_bytes"
            caches[name] = caches.get(name, 0) + each.size_bytes
    kinds = [core[0].kind for core in cores]
    return {
        "sockets": len({c.socket for c in topology.cpus}),
        "cores": len(cores),
        "cpus": len(topology.cpus),
        "offline": len(topology.offline),
        "threads_per_core": max((len(core) for core in cores), default=1),
        "performance_cores": kinds.count("performance"),
        "efficiency_cores": kinds.count("efficiency"),
        "nodes": {
            str(node): {"cpus": format_cpus(c.id for c in topology.cpus if c.node == node)}
            for node in topology.nodes
        },
        "max_mhz": max((c.max_mhz for c in topology.cpus if c.max_mhz), default=None),
        "caches": caches,
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of the installed packages among `names`, without importing them."""
    return {name: number for name in names if (number := _installed_version(name))}


@cache
def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def chosen(text: str) -> str | None:
    """The bracketed word of a sysfs choice: "always [madvise] never" -> "madvise"."""
    match = re.search(r"\[([^\]]+)\]", text)
    return match[1] if match else None


def _cpu_name(root: Path, cpuinfo: str) -> str:
    name = _field(cpuinfo, "model name", "Processor", "cpu model", "cpu")
    if name:
        return name
    implementer, part = _field(cpuinfo, "CPU implementer"), _field(cpuinfo, "CPU part")
    if implementer:  # Arm names its cores by number
        board = read_text(root / "sys/firmware/devicetree/base/model").strip("\0")
        return " ".join(filter(None, [board, f"implementer {implementer} part {part}"]))
    return platform.processor() or platform.machine()


def _container(root: Path) -> str | None:
    """The kind of container that this process runs in, by the files that each kind leaves."""
    files = {".dockerenv": "docker", "run/.containerenv": "podman",
             "var/run/secrets/kubernetes.io": "kubernetes"}  # fmt: skip
    if kind := next((kind for file, kind in files.items() if (root / file).exists()), None):
        return kind
    groups = read_text(root / "proc/1/cgroup")
    match = re.search(r"(docker|kubepods|lxc|containerd|podman)", groups)
    return match[1] if match else None


def _is_virtual_by_vendor(root: Path) -> bool:
    """Whether the firmware's vendor makes virtual machines; Arm has no hypervisor flag."""
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor").lower()
    product = read_text(root / "sys/class/dmi/id/product_name").lower()
    marks = ("qemu", "vmware", "xen", "virtualbox", "innotek", "parallels", "virtual machine")
    # The product name of Amazon's bare-metal instances contains "metal".
    amazon = "amazon ec2" in vendor and "metal" not in product
    return amazon or any(mark in vendor or mark in product for mark in marks)


def _turbo(system: Path) -> bool | None:
    """Whether clocks above the base clock are allowed; None if the kernel does not know."""
    no_turbo = read_text(system / "intel_pstate/no_turbo")
    if no_turbo:
        return no_turbo == "0"
    boost = read_text(system / "cpufreq/boost")
    return boost == "1" if boost else None


def _field(text: str, *names: str) -> str:
    """The value of the first of `names` that /proc/cpuinfo has."""
    for name in names:
        match = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
        if match and match[1].strip():
            return match[1].strip()
    return ""
