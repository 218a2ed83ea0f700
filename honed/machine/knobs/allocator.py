"""The allocator of a worker (glibc's malloc, or a preloaded one), and glibc's arenas."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from honed.knob import AVAILABLE, Availability, Knob, Span, SpawnEffect, Value
from honed.machine import libraries

# File names in order of preference: the minimal build of tcmalloc has no heap profiler.
_FILES = {
    "jemalloc": ("libjemalloc",),
    "tcmalloc": ("libtcmalloc_minimal", "libtcmalloc"),
    "mimalloc": ("libmimalloc",),
}
_PACKAGES = {
    "jemalloc": libraries.packages("libjemalloc2", "jemalloc", "jemalloc", "jemalloc"),
    "tcmalloc": libraries.packages(
        "libtcmalloc-minimal4", "gperftools-libs", "gperftools", "gperftools"
    ),
    "mimalloc": libraries.packages("libmimalloc2.0", "mimalloc", "mimalloc2", "mimalloc"),
}
_ARENAS = "glibc.malloc.arena_max"


def find(allocator: str, root: Path = Path("/")) -> Path | None:
    """The library to preload; None for glibc, and for an allocator that is not installed."""
    return libraries.find(_FILES[allocator], root) if allocator in _FILES else None


def kind_of(path: Path | None) -> str | None:
    """The allocator in a library, by the name of the file."""
    if path is None:
        return None
    for kind, files in _FILES.items():
        if path.name.startswith(files):
            return kind
    return "glibc" if path.name.startswith(("libc.so", "libc-")) else None


def allocator_here() -> Value | None:
    """The allocator whose malloc this process calls; None for an unknown one, such as musl's."""
    path = libraries.providing("malloc")
    # The library that the linker names must also be in the memory map.
    if path is None or path not in libraries.mapped(r"\.so|-linux-"):
        return None
    return kind_of(path)


def available_value(allocator: Value, root: Path = Path("/")) -> Availability:
    if allocator != "glibc":
        if find(str(allocator), root) is not None:
            return AVAILABLE
        name = f"{_FILES[str(allocator)][-1]}.so"
        return libraries.missing(name, _PACKAGES[str(allocator)], root)
    if libraries.glibc_version() is None:
        return Availability(False, "the C library of this system is not glibc", "leave it unset")
    preloaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    other = next((p for p in preloaded if kind_of(Path(p)) not in (None, "glibc")), None)
    if other:
        return Availability(False, f"LD_PRELOAD already loads {other}", "unset LD_PRELOAD")
    return AVAILABLE


def arenas_here() -> Value | None:
    """The limit at the start of this process; None if malloc has made more arenas."""
    limit = libraries.tunable(_ARENAS) or libraries.initial_environment().get("MALLOC_ARENA_MAX")
    used = arenas_in_use()
    if limit is None or not limit.isdigit() or used is None or used > int(limit):
        return None
    return int(limit)


def arenas_in_use() -> int | None:
    """The number of arenas in malloc_info(3); None if the allocator is not glibc's."""
    if allocator_here() != "glibc":
        return None
    libc = ctypes.CDLL(None)
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc.open_memstream.restype = ctypes.c_void_p
    libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.fclose.argtypes = libc.free.argtypes = [ctypes.c_void_p]
    stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    if not stream:
        return None
    failed = libc.malloc_info(0, stream)
    libc.fclose(stream)
    xml = ctypes.string_at(text.value, size.value) if text.value else b""
    libc.free(text)
    return None if failed else xml.count(b"<heap nr=")


def _has_arenas() -> Availability:
    if libraries.glibc_version() is not None:
        return AVAILABLE
    return Availability(False, "only glibc has arenas", "leave it unset")


KNOBS = (
    Knob(
        "allocator", "the memory allocator of the workers, by preload", ("glibc", *_FILES),
        "spawn", available=libraries.can_preload, available_value=available_value,
        spawn=lambda value: libraries.preload(find(str(value))), read_back=allocator_here,
    ),
    Knob(
        "malloc_arenas", "the largest number of arenas of glibc's malloc (allocator=glibc)",
        Span(1, 256), "spawn", "log2",
        available=_has_arenas, spawn=lambda n: SpawnEffect({"GLIBC_TUNABLES": f"{_ARENAS}={n}"}),
        read_back=arenas_here, beside={"allocator": ("glibc", None)},
    ),
)  # fmt: skip
