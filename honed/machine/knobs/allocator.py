"""The C library's malloc, or another one preloaded in its place; and glibc's arenas."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from honed.knob import AVAILABLE, Availability, Knob, Span, SpawnEffect, Value
from honed.machine import libraries

# The file names to look for, the preferred first: Google's small build has no heap profiler.
_FILES = {
    "jemalloc": ("libjemalloc",),
    "tcmalloc": ("libtcmalloc_minimal", "libtcmalloc"),
    "mimalloc": ("libmimalloc",),
}
_PACKAGES = {
    "jemalloc": {
        "debian": "apt-get install libjemalloc2",
        "fedora": "dnf install jemalloc",
        "alpine": "apk add jemalloc",
        "any": "conda install -c conda-forge jemalloc",
    },
    "tcmalloc": {
        "debian": "apt-get install libtcmalloc-minimal4",
        "fedora": "dnf install gperftools-libs",
        "alpine": "apk add gperftools",
        "any": "conda install -c conda-forge gperftools",
    },
    "mimalloc": {
        "debian": "apt-get install libmimalloc2.0",
        "fedora": "dnf install mimalloc",
        "alpine": "apk add mimalloc2",
        "any": "conda install -c conda-forge mimalloc",
    },
}
_ARENAS = "glibc.malloc.arena_max"


def find(allocator: str, root: Path = Path("/")) -> Path | None:
    """The library to preload; None for glibc's own and for one that is not installed."""
    return libraries.find(_FILES[allocator], root) if allocator in _FILES else None


def kind_of(path: Path | None) -> str | None:
    """The allocator that a library is, by its file's name."""
    if path is None:
        return None
    for kind, files in _FILES.items():
        if path.name.startswith(files):
            return kind
    return "glibc" if path.name.startswith(("libc.so", "libc-")) else None


def allocator_here() -> Value | None:
    """Whose malloc this process calls; None for one that has no word here (musl's)."""
    path = libraries.providing("malloc")
    # The linker's answer and the memory map must agree.
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
        return Availability(False, "this system's C library is not glibc", "leave it unset")
    preloaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    other = next((p for p in preloaded if kind_of(Path(p)) not in (None, "glibc")), None)
    if other:
        return Availability(False, f"LD_PRELOAD already brings {other}", "unset LD_PRELOAD")
    return AVAILABLE


def arenas_here() -> Value | None:
    """The limit this process was started with, if its malloc has kept to it."""
    limit = libraries.tunable(_ARENAS) or libraries.initial_environment().get("MALLOC_ARENA_MAX")
    used = arenas_in_use()
    if limit is None or not limit.isdigit() or used is None or used > int(limit):
        return None
    return int(limit)


def arenas_in_use() -> int | None:
    """How many arenas glibc's malloc has made, by malloc_info(3); None under another malloc."""
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
    return Availability(False, "arenas are glibc's", "leave it unset")


def _preload(allocator: Value) -> SpawnEffect:
    path = find(str(allocator))
    return SpawnEffect(preload=(str(path),) if path else ())


KNOBS = (
    Knob(
        name="allocator",
        help="whose malloc the workers call, by preload",
        values=("glibc", *_FILES),
        phase="spawn",
        available=libraries.can_preload,
        available_value=available_value,
        spawn=_preload,
        read_back=allocator_here,
    ),
    Knob(
        name="malloc_arenas",
        help="how many arenas glibc's malloc may spread its threads over (allocator=glibc)",
        values=Span(1, 256),
        phase="spawn",
        scale="log2",
        available=_has_arenas,
        spawn=lambda n: SpawnEffect({"GLIBC_TUNABLES": f"{_ARENAS}={n}"}),
        read_back=arenas_here,
        beside={"allocator": ("glibc", None)},
    ),
)
