"""Variants are found by file name: no registry to forget."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from honed.errors import UsageError, did_you_mean

_NOT_VARIANTS = {"base", "__init__"}


@cache
def names(package: str) -> tuple[str, ...]:
    """The variants in `package` (a dotted name): its files and folders, less base and private."""
    parent = importlib.import_module(package)
    folder = Path(str(parent.__file__)).parent
    found = {p.stem for p in folder.glob("*.py")}
    found |= {p.parent.name for p in folder.glob("*/__init__.py")}
    return tuple(sorted(n for n in found if n not in _NOT_VARIANTS and not n.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """The variant's module; an unknown name raises UsageError with the nearest ones."""
    known = names(package)
    if name not in known:
        noun = package.rpartition(".")[2].removesuffix("s")
        near = did_you_mean(name, known)
        raise UsageError(
            f"no {noun} is called {name!r}", f"{near} known: {', '.join(known)}".strip()
        )
    return importlib.import_module(f"{package}.{name}")
