"""The OpenMP runtime of the engines (GNU's, Intel's or LLVM's, by preload), and its settings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from honed.knob import AVAILABLE, Availability, Knob, Span, SpawnEffect, Value
from honed.machine import libraries

_FILES = {"gnu": "libgomp", "intel": "libiomp5", "llvm": "libomp"}
_PACKAGES = {
    "gnu": libraries.packages("libgomp1", "libgomp", "libgomp", "libgomp"),
    "intel": {"any": "pip install intel-openmp"},
    "llvm": libraries.packages("libomp5", "libomp", "openmp", "llvm-openmp"),
}
_BINDINGS = {0: "off", 3: "close", 4: "spread"}  # omp_proc_bind_t, OpenMP 5.2, 18.3
_BIND_WORDS = {"off": "false", "close": "close", "spread": "spread"}
_TIMEOUT_S = 20.0


def find(runtime: str, root: Path = Path("/")) -> Path | None:
    """The library to preload. Copies of GNU's runtime that wheels of engines bring come first."""
    first = _wheel_folders(root) if runtime == "gnu" else []
    name = _FILES[runtime]
    # The file behind the links decides: conda links Intel's name to LLVM's runtime.
    return libraries.find([name], root, lambda path: kind_of(path) == runtime, first)


def _wheel_folders(root: Path) -> list[Path]:
    """Folders such as torch/lib in which installed packages keep libraries, as seen in `root`."""
    packages = root / sysconfig.get_path("purelib").lstrip("/")
    return [Path("/") / folder.relative_to(root) for folder in sorted(packages.glob("*/lib"))]


def kind_of(path: Path) -> str | None:
    """The runtime in a library, by the file's name. Copies in wheels have a hash in the name."""
    stem = re.split(r"[-.]", path.name)[0]
    return next((kind for kind, name in _FILES.items() if stem == name), None)


def runtime() -> Path | None:
    """The runtime that this process uses; None if there is none, or if several are loaded."""
    for symbol in ("GOMP_parallel", "omp_get_max_threads"):
        path = libraries.providing(symbol)
        if path is not None and kind_of(path):
            return path
    paths = [p for p in libraries.mapped(r"^lib(gomp|iomp5|omp)\b") if kind_of(p)]
    return paths[0] if len(paths) == 1 else None


def runtime_here() -> Value | None:
    path = runtime()
    return kind_of(path) if path else None


def _ask(function: str) -> int | None:
    """The result of a function of the loaded runtime; None if it has no such function."""
    path = runtime()
    if path is None:
        return None
    try:
        call = getattr(ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY), function)
    except (OSError, AttributeError):
        return None
    call.restype = ctypes.c_int
    return int(call())


def _binding_here() -> Value | None:
    binding = _ask("omp_get_proc_bind")
    return None if binding is None else _BINDINGS.get(binding)


def _wait_here() -> Value | None:
    match = re.search(r"OMP_WAIT_POLICY\s*=\s*'(\w+)'", _displayed() or "")
    return match[1].lower() if match else None


def _displayed() -> str | None:
    """The settings that the loaded runtime prints (OpenMP 5.1, omp_display_env)."""
    path = runtime()
    if path is None:
        return None
    with contextlib.suppress(OSError, AttributeError):
        show = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY).omp_display_env
        return _stderr_of(lambda: show(0))
    # Older runtimes print them only while they load: load the same file in another process.
    environment = libraries.initial_environment() | {"OMP_DISPLAY_ENV": "TRUE"}
    environment.pop("LD_PRELOAD", None)
    load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            [sys.executable, "-I", "-c", load, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        ).stderr
    return None


def _stderr_of(call: Callable[[], object]) -> str:
    """What C code prints during `call`; it bypasses sys.stderr, so descriptor 2 is redirected."""
    with tempfile.TemporaryFile() as file:
        original = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            call()
        finally:
            os.dup2(original, 2)
            os.close(original)
        file.seek(0)
        return file.read().decode(errors="replace")


def available_value(value: Value, root: Path = Path("/")) -> Availability:
    if find(str(value), root) is not None:
        return AVAILABLE
    return libraries.missing(f"{_FILES[str(value)]}.so", _PACKAGES[str(value)], root)


def _has_runtime() -> Availability:
    if runtime() or any(find(kind) for kind in _FILES):
        return AVAILABLE
    return libraries.missing("OpenMP runtime", _PACKAGES["gnu"])


def _has_kmp() -> Availability:
    """Whether a runtime with KMP_ settings is installed: only Intel's and LLVM's have them."""
    if runtime_here() in ("intel", "llvm") or find("intel") or find("llvm"):
        return AVAILABLE
    why = "neither Intel's nor LLVM's OpenMP runtime is installed; GNU's has no such setting"
    return Availability(False, why, "pip install intel-openmp, then add openmp=intel")


def _bind(value: Value) -> SpawnEffect:
    environment = {"OMP_PROC_BIND": _BIND_WORDS[str(value)]}
    if value != "off":
        environment["OMP_PLACES"] = "cores"
    return SpawnEffect(environment)


KNOBS = (
    Knob(
        "openmp", "the OpenMP runtime of the engines' thread pools, by preload", tuple(_FILES),
        "spawn", pool="openmp", available=libraries.can_preload, available_value=available_value,
        spawn=lambda value: libraries.preload(find(str(value))), read_back=runtime_here,
    ),
    Knob(
        "blocktime_ms",
        "how long an idle pool thread spins before it sleeps (openmp=intel or llvm)",
        Span(0, 10_000), "spawn", "linear", pool="openmp", available=_has_kmp,
        spawn=lambda ms: SpawnEffect({"KMP_BLOCKTIME": str(ms)}),
        read_back=lambda: _ask("kmp_get_blocktime"), beside={"openmp": ("intel", "llvm")},
    ),
    Knob(
        "omp_affinity",
        "how pool threads are bound to cores: not at all, to neighbours, or spread out",
        tuple(_BIND_WORDS), "spawn", pool="openmp",
        available=_has_runtime, spawn=_bind, read_back=_binding_here,
    ),
    Knob(
        "omp_wait", "whether idle pool threads spin or sleep", ("active", "passive"), "spawn",
        pool="openmp", available=_has_runtime,
        spawn=lambda value: SpawnEffect({"OMP_WAIT_POLICY": str(value)}), read_back=_wait_here,
    ),
)  # fmt: skip
