"""Find the variants of a room by their file names.

There is no registry to forget, and a file that cannot be imported leaves the others usable.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from honed.errors import HonedError, UsageError, nearest

_NOT_VARIANTS = {"base", "__init__"}

# What is wrong with a variant's module, as the end of a sentence; empty if nothing is.
Check = Callable[[ModuleType], str]


class BrokenFileError(HonedError):
    """The file of a variant cannot be imported, or lacks a name that its room requires."""

    status = "unsupported"


@dataclass(frozen=True, slots=True)
class Survey:
    """The files of a room by name: those that can be used, and those that cannot, with why."""

    working: Mapping[str, Any]
    broken: Mapping[str, BrokenFileError]

    @property
    def listed(self) -> Mapping[str, Any]:
        """The working files that lists and help texts show: all whose TRAITS are not hidden."""
        traits = {name: getattr(module, "TRAITS", None) for name, module in self.working.items()}
        hidden = {name for name, each in traits.items() if getattr(each, "hidden", False)}
        return {n: m for n, m in self.working.items() if n not in hidden}


@cache
def names(package: str) -> tuple[str, ...]:
    """The variants in `package` (a dotted name): its files and folders, except base and private
    ones."""
    folder = _folder(package)
    stems = {p.stem for p in folder.glob("*.py")}
    stems |= {p.parent.name for p in folder.glob("*/__init__.py")}
    return tuple(sorted(n for n in stems if n not in _NOT_VARIANTS and not n.startswith("_")))


def load(
    package: str, name: str, protocol: type | None = None, check: Check | None = None
) -> ModuleType:
    """The variant's module; an unknown name raises UsageError with the nearest ones.

    BrokenFileError if the file cannot be imported, lacks a name of `protocol` or fails `check`.
    """
    if name not in names(package):
        listed = ", ".join(survey(package, protocol, check).listed)
        hint = nearest(name, names(package), listed)
        raise UsageError(f"no {_noun(package)} is called {name!r}", hint)
    try:
        module = importlib.import_module(f"{package}.{name}")
    except Exception as error:  # a file from anywhere may raise anything
        raise _broken(package, name, f"cannot be imported: {_one_line(error)}") from error
    lacking = [n for n in _members(protocol) if not hasattr(module, n)]
    if lacking:
        raise _broken(package, name, f"does not define {', '.join(lacking)}")
    if check is not None and (fault := check(module)):
        raise _broken(package, name, fault)
    return module


def survey(package: str, protocol: type | None = None, check: Check | None = None) -> Survey:
    """Load every variant of the room."""
    working: dict[str, ModuleType] = {}
    broken: dict[str, BrokenFileError] = {}
    for name in names(package):
        try:
            working[name] = load(package, name, protocol, check)
        except BrokenFileError as error:
            broken[name] = error
    return Survey(working, broken)


def _folder(package: str) -> Path:
    return Path(str(importlib.import_module(package).__file__)).parent


def _noun(package: str) -> str:
    plural = package.rpartition(".")[2]
    return plural.removesuffix("es" if plural.endswith("sses") else "s")


def _members(protocol: type | None) -> list[str]:
    if protocol is None:
        return []
    public = {*protocol.__annotations__, *vars(protocol)}
    return sorted(n for n in public if not n.startswith("_"))


def _broken(package: str, name: str, what: str) -> BrokenFileError:
    folder = _folder(package)
    file = next((f for f in (folder / f"{name}.py", folder / name) if f.exists()), folder)
    hint = f"mend {file}, or move it away; `python -c 'import {package}.{name}'` shows all of it"
    return BrokenFileError(f"{_noun(package)} {name} {what}", hint)


def _one_line(error: Exception) -> str:
    """The exception in one line, with the line of code that raised it."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
