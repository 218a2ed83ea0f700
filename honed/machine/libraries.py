"""Shared libraries: the folders of distributions, and the libraries that this process uses."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from honed.knob import AVAILABLE, Availability, SpawnEffect
from honed.machine.proc import read_text

# Debian's multiarch folders, Debian's LLVM, Fedora, Alpine and Arch, then libraries that users
# built themselves.
_FOLDERS = (
    *("usr/lib/*-linux-gnu*", "usr/lib/llvm-*/lib", "usr/lib64", "usr/lib", "lib64", "lib"),
    *("usr/local/lib64", "usr/local/lib", "opt/conda/lib"),
)


def find(
    names: Sequence[str],
    root: Path = Path("/"),
    accept: Callable[[Path], bool] = lambda _: True,
    first: Sequence[Path] = (),
) -> Path | None:
    """The newest loadable library called by the first of `names` that has one.

    "libomp" finds libomp.so.5. A library in a folder of `first` wins over all others. `accept`
    judges the file behind the links, since the names of links can mislead.
    """
    for folders in ([_under(root, folder) for folder in first], list(_folders(root))):
        for name in names:
            candidates = [
                path
                for folder in folders
                for path in sorted(folder.glob(f"{name}.so*"))
                if _version(path, name) is not None and loadable(path) and accept(path.resolve())
            ]
            if candidates:
                return max(candidates, key=lambda path: _version(path, name) or ())
    return None


def loadable(path: Path) -> bool:
    """Whether the file is a library for the architecture of this interpreter."""
    header = _header(path)
    return bool(header) and header == _own_header()


def providing(symbol: str) -> Path | None:
    """The library whose `symbol` this process calls, as the dynamic linker resolves it."""
    try:
        whole = ctypes.CDLL(None)
        address = ctypes.cast(getattr(whole, symbol), ctypes.c_void_p)
        info = _Info()
        whole.dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Info)]
        if not whole.dladdr(address, ctypes.byref(info)) or not info.name:
            return None
    except (AttributeError, OSError, TypeError):  # no such symbol, or no such linker
        return None
    return Path(os.fsdecode(info.name)).resolve()


def mapped(pattern: str) -> tuple[Path, ...]:
    """The files mapped into this process's memory whose name matches `pattern`."""
    paths = set()
    for line in read_text(Path("/proc/self/maps")).splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and re.search(pattern, fields[5].rpartition("/")[2]):
            paths.add(Path(fields[5]))
    return tuple(sorted(paths))


def initial_environment() -> dict[str, str]:
    """The environment at the start of this process: the one that its C libraries have read."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(part).partition("=") for part in raw.split(b"\0") if part)
    return {name: value for name, _, value in pairs}


def tunable(name: str) -> str | None:
    """The value of a glibc tunable at the start of this process; the last of several counts."""
    value = None
    for part in initial_environment().get("GLIBC_TUNABLES", "").split(":"):
        key, _, text = part.partition("=")
        value = text if key == name else value
    return value


def glibc_version() -> tuple[int, ...] | None:
    """The version of glibc; None where the C library is another one, such as musl."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError, AttributeError):
        return None
    numbers = text.removeprefix("glibc ").split(".")
    return tuple(map(int, numbers)) if all(n.isdigit() for n in numbers) else None


def can_preload() -> Availability:
    """Preloading works on Linux, and /proc shows whether it did."""
    if Path("/proc/self/maps").exists():
        return AVAILABLE
    return Availability(False, "preloading cannot be proven on this system", "use Linux")


def preload(path: Path | None) -> SpawnEffect:
    """The effect of a knob that preloads a library; none if the library is not there."""
    return SpawnEffect(preload=(str(path),) if path else ())


def packages(debian: str, fedora: str, alpine: str, conda: str) -> dict[str, str]:
    """The commands that install a library, from the name of its package in each distribution."""
    return {"debian": f"apt-get install {debian}", "fedora": f"dnf install {fedora}",
            "alpine": f"apk add {alpine}",
            "any": f"conda install -c conda-forge {conda}"}  # fmt: skip


def missing(what: str, packages: dict[str, str], root: Path = Path("/")) -> Availability:
    """The answer for a missing library, with this distribution's command that installs it.

    `packages` maps a distribution's id, or "any", to the command.
    """
    text = read_text(root / "etc/os-release")
    ids = " ".join(re.findall(r"^ID(?:_LIKE)?=\"?([^\"\n]*)", text, re.MULTILINE)).split()
    how = next((packages[name] for name in ids if name in packages), packages["any"])
    return Availability(False, f"no {what} in the usual places", how)


class _Info(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _folders(root: Path) -> Iterator[Path]:
    conda = os.environ.get("CONDA_PREFIX")
    for prefix in dict.fromkeys(filter(None, (sys.prefix, conda))):
        yield _under(root, Path(prefix) / "lib")
    for pattern in _FOLDERS:
        yield from sorted(root.glob(pattern))


def _under(root: Path, path: Path) -> Path:
    return root / str(path).lstrip("/")


def _version(path: Path, name: str) -> tuple[int, ...] | None:
    """(4, 5) for libx.so.4.5; None if the name only begins with `name`."""
    match = re.fullmatch(rf"{re.escape(name)}\.so((?:\.\d+)*)", path.name)
    return tuple(int(n) for n in match[1].split(".")[1:]) if match else None


def _header(path: Path) -> bytes:
    """Class, byte order and machine of an ELF file (elf(5)); empty for anything else."""
    try:
        with path.open("rb") as file:
            start = file.read(20)
    except OSError:
        return b""
    return start[4:6] + start[18:20] if start[:4] == b"\x7fELF" and len(start) == 20 else b""


@cache
def _own_header() -> bytes:
    return _header(Path(sys.executable))
