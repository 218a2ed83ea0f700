"""What a precision file defines: `PRECISION`, how a module comes to compute in that precision.

The name of the file is the precision of the Case, followed by its kind if it has several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.case import Case


def _no_check(_: Case) -> None:
    """Every machine can compute it; without instructions for it, slowly."""


def _no_artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    """None: quantising takes no longer than loading a quantised model."""
    return None


def _no_build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


@dataclass(frozen=True, slots=True)
class Precision:
    """One precision of the torch backend.

    `module` returns the module in this precision on the device of the Case; it gets the artifact's
    folder if there is one. `modes` and `devices` are those that can run it. `check` raises
    UnsupportedError where the machine or the other settings rule it out. `artifact` is what
    decides the content of the quantised artifact, and `build` writes it.
    """

    module: Callable[[LoadRequest, Path | None], Any]
    modes: tuple[str, ...] = ("eager", "compile", "aoti", "torchscript")
    devices: tuple[str, ...] = ("cpu", "cuda")
    check: Callable[[Case], None] = _no_check
    artifact: Callable[[LoadRequest], Mapping[str, Any] | None] = _no_artifact
    build: Callable[[LoadRequest, Path], None] = _no_build
