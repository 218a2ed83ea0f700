"""What this machine is and how it is set: read quickly, never changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from honed.machine import limits as machine_limits
from honed.machine import topology as machine_topology
from honed.machine.topology import Topology

# The instructions that decide how fast a matrix product can be, as /proc/cpuinfo spells them:
# x86 first, then Arm.
FLAGS = (
    *("sse4_2", "fma", "avx", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "fphp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svebf16", "svei8mm"),
    "sme",
)
# Packages that matter whatever the engine is; each backend names its own.
PACKAGES = ("numpy", "intel-openmp")
# What makes two machines the same hardware for a measured bound.
_HARDWARE = ("cpu", "flags", "topology", "memory_gib", "virtualised", "architecture")


def machine_facts(root: Path = Path("/"), packages: Iterable[str] = ()) -> dict[str, Any]:
    """Everything a record says of the machine, with the versions of `packages` beside PACKAGES.

    `root` holds proc and sys (tests inject one).
    """
    topology = machine_topology.read(root / "sys")
    limits = machine_limits.read(root)
    cpuinfo, meminfo = _text(root / "proc/cpuinfo"), _text(root / "proc/meminfo")
    flags = cpu_flags(root)
    total = _kb(meminfo, "MemTotal")
    system = root / "sys/devices/system/cpu"
    return {
        "cpu": _cpu_name(root, cpuinfo),
        "architecture": platform.machine(),
        "flags": [f for f in FLAGS if f in flags],
        "topology": summary(topology),
        "memory_bytes": total,
        "memory_limit_bytes": limits.memory_bytes,
        "memory_gib": None if total is None else round(total / 2**30),
        "kernel": platform.release(),
        "limits": limits.to_json(),
        "container": _container(root),
        "virtualised": "hypervisor" in flags or _virtual_vendor(root),
        "governor": _governors(system),
        "turbo": _turbo(system),
        "smt": _text(system / "smt/control") or None,
        "swap_bytes": _kb(meminfo, "SwapTotal"),
        "swappiness": _int(_text(root / "proc/sys/vm/swappiness")),
        "thp": chosen(_text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": platform.python_version(),
        "packages": package_versions((*PACKAGES, *packages)),
    }


def cpu_flags(root: Path = Path("/")) -> set[str]:
    """Every instruction set that the kernel names."""
    return set(_field(_text(root / "proc/cpuinfo"), "flags", "Features").split())


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A name for the hardware alone: the same after an upgrade of anything installed."""
    hardware = {key: facts.get(key) for key in _HARDWARE}
    return hashlib.sha256(json.dumps(hardware, sort_keys=True).encode()).hexdigest()[:16]


def summary(topology: Topology) -> dict[str, Any]:
    """The topology in a few numbers."""
    cores = topology.cores()
    caches: dict[str, int] = {}
    for cache in topology.caches:
        if cache.kind != "instruction":
            name = f"l{cache.level}_bytes"
            caches[name] = caches.get(name, 0) + cache.size_bytes
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
            str(node): {
                "cpus": machine_topology.format_cpus(c.id for c in topology.cpus if c.node == node)
            }
            for node in topology.nodes
        },
        "max_mhz": max((c.max_mhz for c in topology.cpus if c.max_mhz), default=None),
        "caches": caches,
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """The installed ones among `names`, without importing them."""
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


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
        board = _text(root / "sys/firmware/devicetree/base/model").strip("\0")
        return " ".join(filter(None, [board, f"implementer {implementer} part {part}"]))
    return platform.processor() or platform.machine()


def _container(root: Path) -> str | None:
    """Which kind of container this is, by the marks they leave."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / "var/run/secrets/kubernetes.io").exists():
        return "kubernetes"
    found = re.search(r"(docker|kubepods|lxc|containerd|podman)", _text(root / "proc/1/cgroup"))
    return found[1] if found else None


def _virtual_vendor(root: Path) -> bool:
    """Arm has no hypervisor flag; the firmware's vendor tells."""
    vendor = _text(root / "sys/class/dmi/id/sys_vendor").lower()
    product = _text(root / "sys/class/dmi/id/product_name").lower()
    marks = ("qemu", "vmware", "xen", "virtualbox", "innotek", "parallels", "virtual machine")
    # Amazon's bare-metal instances say so in their product name.
    amazon = "amazon ec2" in vendor and "metal" not in product
    return amazon or any(mark in vendor or mark in product for mark in marks)


def _governors(system: Path) -> list[str]:
    """Each governor in use, once."""
    files = system.glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({text for text in map(_text, files) if text})


def _turbo(system: Path) -> bool | None:
    """Whether clocks above the base one are allowed; None where the kernel does not tell."""
    no_turbo = _text(system / "intel_pstate/no_turbo")
    if no_turbo:
        return no_turbo == "0"
    boost = _text(system / "cpufreq/boost")
    return boost == "1" if boost else None


def _field(text: str, *names: str) -> str:
    """The first `name : value` of /proc/cpuinfo, the names tried in order."""
    for name in names:
        found = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
        if found and found[1].strip():
            return found[1].strip()
    return ""


def _kb(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _int(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
