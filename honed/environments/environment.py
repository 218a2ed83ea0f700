"""Environments: other versions of the engines, each with an interpreter of its own, by name.

Made in place, for a virtual environment holds its own path; what says that it is whole is written
last. One without it is a leftover, and is cleared away when nobody is making it any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import IO

from honed.environments.installer import Installer
from honed.errors import HonedError, UsageError, did_you_mean

_META = "honed.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_NUMPY = "numpy"  # all that a worker needs besides its engine


@dataclass(frozen=True, slots=True)
class Environment:
    """A whole one. `requirements` are the words it was made from, `python` is its version."""

    name: str
    folder: Path
    created: str
    python: str
    requirements: tuple[str, ...]

    @property
    def interpreter(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def works(self) -> bool:
        """False when the interpreter that it was made from is gone."""
        return self.interpreter.exists()

    @property
    def size_bytes(self) -> int:
        return sum(f.lstat().st_size for f in self.folder.rglob("*") if not f.is_dir())

    def packages(self) -> Mapping[str, str]:
        """Name -> version of everything installed; read, not run."""
        folders = [str(p) for p in self.folder.glob("lib/python3*/site-packages")]
        found = {d.name.lower().replace("_", "-"): d.version for d in distributions(path=folders)}
        return dict(sorted(found.items()))


def root() -> Path:
    """`$HONED_HOME`, else the user's data folder; unlike the cache, never pruned."""
    chosen = os.environ.get("HONED_HOME")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return (Path(chosen) if chosen else Path(base) / "honed") / "envs"


def create(name: str, requirements: tuple[str, ...], installer: Installer) -> Environment:
    """A new environment of `requirements` (and numpy). Whatever stops it leaves nothing behind."""
    _check_name(name)
    folder = root() / name
    with _making(name):
        if found := find(name):
            raise UsageError(
                f"there is an environment {name} already: {' '.join(found.requirements)}",
                f"honed env remove {name}, honed env add {name} PACKAGE, or another name",
            )
        shutil.rmtree(folder, ignore_errors=True)  # a leftover: nobody else holds the lock
        try:
            version = installer.make(folder)
            installer.install(folder, _with_numpy(requirements))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            made = Environment(name, folder, now, version, requirements)
            _write(made)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return made


def add(name: str, requirements: tuple[str, ...], installer: Installer) -> Environment:
    """More packages, or other versions, in an environment that is there."""
    with _making(name):
        old = get(name)
        installer.install(old.folder, requirements)
        both = tuple(dict.fromkeys((*old.requirements, *requirements)))
        made = Environment(name, old.folder, old.created, old.python, both)
        _write(made)
    return made


def remove(name: str) -> Environment:
    """The environment as it was; its folder is gone."""
    with _making(name):
        gone = get(name)
        # The description goes first: without it the folder no longer counts as whole.
        (gone.folder / _META).unlink()
        shutil.rmtree(gone.folder, ignore_errors=True)
    return gone


def entries() -> list[Environment]:
    """Every whole environment, by name; leftovers of interrupted work are cleared away."""
    _sweep_leftovers()
    return [_read(meta.parent) for meta in sorted(root().glob(f"[!.]*/{_META}"))]


def find(name: str) -> Environment | None:
    folder = root() / name
    return _read(folder) if _NAME.fullmatch(name) and (folder / _META).is_file() else None


def get(name: str) -> Environment:
    """The environment of that name, or UsageError with the nearest ones."""
    found = find(name)
    if found is None:
        known = [e.name for e in entries()]
        near = did_you_mean(name, known)
        listed = f"known: {', '.join(known)}" if known else "honed env create NAME PACKAGE..."
        raise UsageError(f"no environment is called {name!r}", f"{near} {listed}".strip())
    return found


def interpreter(word: str) -> str:
    """The interpreter that `python=word` means: an environment's, a path, or a command."""
    if os.sep in word:
        return word
    if found := find(word):
        return str(found.interpreter)
    if shutil.which(word):
        return word
    near = did_you_mean(word, [e.name for e in entries()])
    hint = "honed env list; honed env create NAME PACKAGE...; or python=/path/to/bin/python"
    raise UsageError(
        f"python={word}: no environment and no command is called so", f"{near} {hint}".strip()
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or shutil.which(name):
        raise UsageError(
            f"{name!r} cannot name an environment",
            "letters, digits, '_', '-' and '.', and no command's name: for example torch-2.8",
        )


def _with_numpy(requirements: tuple[str, ...]) -> tuple[str, ...]:
    named = {re.split(r"[^A-Za-z0-9_.-]", word, maxsplit=1)[0].lower() for word in requirements}
    return requirements if _NUMPY in named else (*requirements, _NUMPY)


def _write(made: Environment) -> None:
    plain = {k: v for k, v in asdict(made).items() if k not in ("name", "folder")}
    temporary = made.folder / f".{_META}"
    temporary.write_text(json.dumps(plain, indent=1))
    os.replace(temporary, made.folder / _META)


def _read(folder: Path) -> Environment:
    data = json.loads((folder / _META).read_text())
    requirements = tuple(data["requirements"])
    return Environment(folder.name, folder, data["created"], data["python"], requirements)


@contextlib.contextmanager
def _making(name: str) -> Iterator[None]:
    """Hold the name's lock. It dies with this process and with the installer that it started."""
    try:
        root().mkdir(parents=True, exist_ok=True)
        with open(root() / f".{name}.lock", "w") as file:
            if not _locked(file):
                raise UsageError(f"another process is at work on {name}", "wait for it to end")
            os.set_inheritable(file.fileno(), True)
            yield
    except OSError as error:
        if not str(error.filename or "").startswith(str(root())):
            raise
        raise HonedError(
            f"cannot write to {root()}: {error.strerror}",
            "free some space, or set HONED_HOME to another folder",
        ) from error


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep_leftovers() -> None:
    for lock in root().glob(".*.lock"):
        name = lock.name.removeprefix(".").removesuffix(".lock")
        folder = root() / name
        if not folder.is_dir() or (folder / _META).is_file():
            continue
        with contextlib.suppress(OSError), open(lock) as file:
            if _locked(file) and not (folder / _META).is_file():
                shutil.rmtree(folder, ignore_errors=True)
