"""Transparent huge pages, for this process alone; the system's own mode is only read here."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Collection
from pathlib import Path

from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, SpawnEffect, Value
from honed.machine import kernel, libraries
from honed.machine.facts import chosen

_SYSFS = Path("/sys/kernel/mm/transparent_hugepage")
_SET_MODE = "echo {} | sudo tee " + str(_SYSFS / "enabled")

# linux/prctl.h, since 6.18: only what asked for huge pages by madvise(2) still gets them.
_EXCEPT_ADVISED = 1 << 1
_DISABLED, _DISABLED_EXCEPT_ADVISED = 1, 1 | _EXCEPT_ADVISED

# Each allocator's own way to ask for huge pages where the system's mode is madvise: glibc since
# 2.35 (NEWS), jemalloc 5 (opt.thp), mimalloc 2.0 and, renamed, 2.1. tcmalloc has none.
_ADVISE = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_CONF": "thp:always",
    "MIMALLOC_LARGE_OS_PAGES": "1",
    "MIMALLOC_ALLOW_LARGE_OS_PAGES": "1",
}
_FRESH_BYTES = 48 * 2**20  # above glibc's largest mmap threshold, 32 MiB: never recycled memory
_LARGEST_PROBE_BYTES = 8 * 2**20  # where a huge page is larger (64 KiB base pages), no probe


def system_mode(sysfs: Path = _SYSFS) -> str | None:
    """always, madvise or never; None for a kernel without huge pages."""
    try:
        return chosen((sysfs / "enabled").read_text())
    except OSError:
        return None


def set_thp(mode: Value, _cpus: Collection[int]) -> None:
    """In the worker: how much of the system's mode reaches this process."""
    arguments: tuple[int, ...] = (0,)  # an inherited ban is lifted
    if mode == "never":
        arguments = (1,)
    elif mode == "madvise" and system_mode() == "always":
        arguments = (1, _EXCEPT_ADVISED)
    try:
        kernel.prctl(kernel.PR_SET_THP_DISABLE, *arguments)
    except OSError as error:
        raise UnsupportedError(
            f"thp={mode}: the kernel refused ({error.strerror})", "leave thp unset here"
        ) from error


def thp_here() -> Value | None:
    """What memory from malloc gets in this process: `always` only if a huge page really came."""
    disabled = kernel.prctl(kernel.PR_GET_THP_DISABLE)
    mode = system_mode()
    if disabled == _DISABLED or mode in ("never", None):
        return "never"
    if disabled == _DISABLED_EXCEPT_ADVISED:
        return "madvise"
    if _malloc_gives_huge_pages():
        return "always"
    # Where it should have come and did not (memory too fragmented), nothing is proven.
    return "madvise" if mode == "madvise" else None


def huge_bytes() -> int | None:
    """AnonHugePages of this whole process (proc(5), smaps_rollup)."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^AnonHugePages:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _malloc_gives_huge_pages() -> bool:
    """Touch one byte of a fresh block and see whether a whole huge page came with it."""
    page_bytes = _page_bytes()
    before = huge_bytes()
    if before is None or page_bytes > _LARGEST_PROBE_BYTES:
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(_FRESH_BYTES)
    if not block:
        return False
    try:
        # The second boundary inside: an allocator's header may have touched the page before.
        ctypes.memset((block // page_bytes + 2) * page_bytes, 1, 1)
        return (huge_bytes() or 0) >= before + page_bytes
    finally:
        libc.free(block)


def _page_bytes() -> int:
    try:
        return int((_SYSFS / "hpage_pmd_size").read_text())
    except (OSError, ValueError):
        return 2 * 2**20


def _available() -> Availability:
    if system_mode() is None:
        why = "this kernel has no transparent huge pages"
        return Availability(False, why, "use a kernel built with CONFIG_TRANSPARENT_HUGEPAGE")
    try:
        kernel.prctl(kernel.PR_GET_THP_DISABLE)
    except OSError as error:
        why = f"the kernel refused ({error.strerror})"
        return Availability(False, why, "leave thp unset here")
    return AVAILABLE


def available_value(value: Value) -> Availability:
    mode = system_mode()
    if value != "never" and mode == "never":
        return Availability(False, "the system's mode is never", _SET_MODE.format("madvise"))
    if value == "madvise" and mode == "always" and _kernel_version() < (6, 18):
        why = (
            "the system's mode is always, and a process can narrow it to madvise since Linux 6.18"
        )
        return Availability(False, why, _SET_MODE.format("madvise"))
    if value == "always" and mode == "madvise" and (libraries.glibc_version() or (0,)) < (2, 35):
        why = "the system's mode is madvise, and glibc's malloc asks for huge pages since 2.35"
        return Availability(False, why, _SET_MODE.format("always"))
    return AVAILABLE


def _kernel_version() -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2])


def _spawn(value: Value) -> SpawnEffect:
    advise = _ADVISE if value == "always" and system_mode() == "madvise" else {}
    return SpawnEffect(environment=advise, in_child={"thp": value})


KNOBS = (
    Knob(
        name="thp",
        help="huge pages for the worker's memory: always, where asked by madvise, or never",
        values=("always", "madvise", "never"),
        phase="spawn",
        available=_available,
        available_value=available_value,
        spawn=_spawn,
        read_back=thp_here,
    ),
)

IN_CHILD = {"thp": set_thp}
