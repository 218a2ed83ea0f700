"""Transparent huge pages for one process; the mode of the system is read here, never changed."""

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
from honed.machine.proc import kilobytes, read_int, read_text

_SYSFS = Path("/sys/kernel/mm/transparent_hugepage")
_SET_MODE = "echo {} | sudo tee " + str(_SYSFS / "enabled")

# linux/prctl.h, since 6.18: only memory with madvise(2) still gets huge pages.
_EXCEPT_ADVISED = 1 << 1
_DISABLED, _DISABLED_EXCEPT_ADVISED = 1, 1 | _EXCEPT_ADVISED

# How each allocator is told to use madvise(2), for systems whose mode is madvise: glibc since 2.35
# (NEWS), jemalloc 5 (opt.thp), mimalloc 2.0 and, renamed, 2.1. tcmalloc has no such setting.
_ADVISE = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_CONF": "thp:always",
    "MIMALLOC_LARGE_OS_PAGES": "1",
    "MIMALLOC_ALLOW_LARGE_OS_PAGES": "1",
}
_FRESH_BYTES = 48 * 2**20  # above glibc's largest mmap threshold, 32 MiB: never reused memory
_LARGEST_PROBE_BYTES = 8 * 2**20  # larger huge pages (64 KiB base pages) are not probed


def system_mode(sysfs: Path = _SYSFS) -> str | None:
    """The mode of the system: always, madvise or never; None if the kernel has no huge pages."""
    return chosen(read_text(sysfs / "enabled"))


def set_thp(mode: Value, _cpus: Collection[int]) -> None:
    """Forbid or allow huge pages for this process, in the worker, within the system's mode."""
    arguments: tuple[int, ...] = (0,)  # allows huge pages even if the parent forbade them
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
    """The value in force for memory from malloc: `always` only if a test block got a huge page."""
    disabled = kernel.prctl(kernel.PR_GET_THP_DISABLE)
    mode = system_mode()
    if disabled == _DISABLED or mode in ("never", None):
        return "never"
    if disabled == _DISABLED_EXCEPT_ADVISED:
        return "madvise"
    if _malloc_gives_huge_pages():
        return "always"
    # A missing huge page under the mode `always` (memory is fragmented) proves nothing.
    return "madvise" if mode == "madvise" else None


def huge_bytes() -> int | None:
    """The memory of this process in huge pages (proc(5), smaps_rollup)."""
    return kilobytes(read_text(Path("/proc/self/smaps_rollup")), "AnonHugePages")


def _malloc_gives_huge_pages() -> bool:
    """Whether the process gains a whole huge page when it touches one byte of a new block."""
    page_bytes = read_int(_SYSFS / "hpage_pmd_size") or 2 * 2**20
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
        # The second boundary in the block: the allocator may have touched the page before it.
        ctypes.memset((block // page_bytes + 2) * page_bytes, 1, 1)
        return (huge_bytes() or 0) >= before + page_bytes
    finally:
        libc.free(block)


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
    linux = tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2])
    if value == "madvise" and mode == "always" and linux < (6, 18):
        why = (
            "the system's mode is always, and only Linux 6.18 or newer can narrow it for a process"
        )
        return Availability(False, why, _SET_MODE.format("madvise"))
    if value == "always" and mode == "madvise" and (libraries.glibc_version() or (0,)) < (2, 35):
        why = "the system's mode is madvise, and only glibc 2.35 or newer uses madvise in malloc"
        return Availability(False, why, _SET_MODE.format("always"))
    return AVAILABLE


def _spawn(value: Value) -> SpawnEffect:
    advise = _ADVISE if value == "always" and system_mode() == "madvise" else {}
    return SpawnEffect(environment=advise, in_child={"thp": value})


KNOBS = (
    Knob(
        "thp", "huge pages for the worker's memory: always, only with madvise, or never",
        ("always", "madvise", "never"), "spawn",
        available=_available, available_value=available_value, spawn=_spawn, read_back=thp_here,
    ),
)  # fmt: skip

IN_CHILD = {"thp": set_thp}
