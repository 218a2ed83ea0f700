"""Named environments: each has its own interpreter and its own versions of the engines.

An environment is made in its final folder, because a virtual environment contains its path. The
description, honed.json, is written last: a folder without it is unfinished, and is deleted once no
process holds its lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from honed.environments.installer import Installer
from honed.errors import HonedError, UsageError, did_you_mean
from honed.files import is_there, locked, write_whole
from honed.surroundings import home

_META = "honed.json"
_SHARED = "honed-shared.pth"  # Python reads the paths of such a file when it starts
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_NUMPY = "numpy"  # the only package that a worker needs besides its engine


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished environment: `requirements` are pip's words, `python` is the version."""

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
        """Whether the interpreter that the environment was made from still exists."""
        return self.interpreter.exists()

    @property
    def size_bytes(self) -> int:
        return sum(f.lstat().st_size for f in self.folder.rglob("*") if not f.is_dir())

    def packages(self) -> Mapping[str, str]:
        """The version of each installed package, read without running the interpreter."""
        folders = [str(p) for p in self.folder.glob("lib/python3*/site-packages")]
        installed = distributions(path=folders)
        return dict(sorted((d.name.lower().replace("_", "-"), d.version) for d in installed))


def root() -> Path:
    """The folder of all environments; unlike the cache, it is never pruned."""
    chosen = os.environ.get("HONED_HOME")
    base = os.environ.get("XDG_DATA_HOME") or home() / ".local" / "share"
    return (Path(chosen) if chosen else Path(base) / "honed") / "envs"


def create(
    name: str, requirements: tuple[str, ...], installer: Installer, *, shared: bool = False
) -> Environment:
    """Make an environment of `requirements` and numpy. An error or a signal leaves no folder.

    With `shared` only `requirements` are installed, without what they need: every other package is
    the one of this process's environment.
    """
    _check_name(name)
    folder = root() / name
    with _making(name):
        if existing := find(name):
            raise UsageError(
                f"there is an environment {name} already: {' '.join(existing.requirements)}",
                f"honed env remove {name}, honed env add {name} PACKAGE, or another name",
            )
        shutil.rmtree(folder, ignore_errors=True)  # unfinished, since this process has its lock
        try:
            version = installer.make(folder)
            if shared:
                installer.without_dependencies.install(folder, requirements)
                _share(folder)
            else:
                installer.install(folder, _with_numpy(requirements))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            environment = Environment(name, folder, now, version, requirements)
            _write(environment)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return environment


def add(name: str, requirements: tuple[str, ...], installer: Installer) -> Environment:
    """Install more packages, or other versions, in an existing environment."""
    with _making(name):
        old = get(name)
        installer.install(old.folder, requirements)
        both = tuple(dict.fromkeys((*old.requirements, *requirements)))
        environment = Environment(name, old.folder, old.created, old.python, both)
        _write(environment)
    return environment


def remove(name: str) -> Environment:
    """Delete an environment, and return what it was."""
    with _making(name):
        environment = get(name)
        # Without the description, the rest of the folder counts as unfinished.
        (environment.folder / _META).unlink()
        shutil.rmtree(environment.folder, ignore_errors=True)
    return environment


def entries() -> list[Environment]:
    """Every finished environment, by name; unfinished ones without an owner are deleted."""
    _delete_unfinished()
    return [_read(meta.parent) for meta in sorted(root().glob(f"[!.]*/{_META}"))]


def find(name: str) -> Environment | None:
    folder = root() / name
    return _read(folder) if _NAME.fullmatch(name) and is_there(folder / _META) else None


def get(name: str) -> Environment:
    """The environment of that name, or UsageError with the nearest ones."""
    environment = find(name)
    if environment is None:
        known = [e.name for e in entries()]
        near = did_you_mean(name, known)
        listed = f"known: {', '.join(known)}" if known else "honed env create NAME PACKAGE..."
        raise UsageError(f"no environment is called {name!r}", f"{near} {listed}".strip())
    return environment


def interpreter(word: str) -> str:
    """The interpreter that `python=word` means: an environment's, a path, or a command.

    UsageError for a word that means none, and for an environment whose interpreter is gone.
    """
    if os.sep in word:
        return word
    if environment := find(word):
        if not environment.works:
            requirements = " ".join(environment.requirements)
            raise UsageError(
                f"python={word}: the Python that this environment was made from is gone",
                f"honed env remove {word}, then honed env create {word} {requirements}",
            )
        return str(environment.interpreter)
    if shutil.which(word):
        return word
    near = did_you_mean(word, [e.name for e in entries()])
    hint = "honed env list; honed env create NAME PACKAGE...; or python=/path/to/bin/python"
    raise UsageError(
        f"python={word}: there is no environment and no command of this name",
        f"{near} {hint}".strip(),
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


def _share(folder: Path) -> None:
    """Let the environment import what this process can import, behind its own packages."""
    names = ("site-packages", "dist-packages")
    paths = [path for path in sys.path if Path(path).name in names and Path(path).is_dir()]
    for packages in folder.glob("lib/python3*/site-packages"):
        (packages / _SHARED).write_text("".join(f"{path}\n" for path in paths))


def _write(environment: Environment) -> None:
    plain = {k: v for k, v in asdict(environment).items() if k not in ("name", "folder")}
    write_whole(environment.folder / _META, json.dumps(plain, indent=1))


def _read(folder: Path) -> Environment:
    data = json.loads((folder / _META).read_text())
    requirements = tuple(data["requirements"])
    return Environment(folder.name, folder, data["created"], data["python"], requirements)


@contextlib.contextmanager
def _making(name: str) -> Iterator[None]:
    """Hold the lock of a name, until this process and the installer that it started have ended."""
    try:
        root().mkdir(parents=True, exist_ok=True)
        with locked(root() / f".{name}.lock", wait=False) as descriptor:
            os.set_inheritable(descriptor, True)
            yield
    except BlockingIOError as error:
        raise UsageError(
            f"another process is changing the environment {name}", "wait for it to end"
        ) from error
    except OSError as error:
        place = str(error.filename or "")  # or a folder that the environments would lie in
        if not (place.startswith(str(root())) or (place and Path(place) in root().parents)):
            raise
        raise HonedError(
            f"cannot write to {root()}: {error.strerror}",
            "free some space, or set HONED_HOME to another folder",
        ) from error


def _delete_unfinished() -> None:
    for lock in root().glob(".*.lock"):
        folder = root() / lock.name.removeprefix(".").removesuffix(".lock")
        if not folder.is_dir() or (folder / _META).is_file():
            continue
        with contextlib.suppress(OSError), locked(lock, wait=False):
            if not (folder / _META).is_file():
                shutil.rmtree(folder, ignore_errors=True)
