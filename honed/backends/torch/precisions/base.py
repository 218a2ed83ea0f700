"""What a precision file defines: `PRECISION`, how a module comes to compute in that precision.

The name of the file is the precision of the Case, followed by its kind if it has several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.case import Case


@dataclass(frozen=True, slots=True)
class Precision:
    """One precision of the torch backend.

    `module` returns the module in this precision on the device of the Case; it gets the artifact's
    folder if there is one. `modes` and `devices` are those that can run it. `check` raises
    UnsupportedError where the machine or the other settings rule it out; by default every machine
    can compute it, if slowly. `artifact` is what decides the content of the quantised artifact,
    which `build` writes; by default there is none, because quantising takes no longer than loading
    a quantised model.
    """

    module: Callable[[LoadRequest, Path | None], Any]
    modes: tuple[str, ...] = ("eager", "compile", "aoti", "torchscript")
    devices: tuple[str, ...] = ("cpu", "cuda")
    check: Callable[[Case], None] = lambda _: None
    artifact: Callable[[LoadRequest], Mapping[str, Any] | None] = lambda _: None
    build: Callable[[LoadRequest, Path], None] = lambda _, __: None


def in_type(name: str) -> Callable[[LoadRequest, Path | None], Any]:
    """The `module` of a precision whose weights and activations have this type of torch."""

    def module(request: LoadRequest, _: Path | None) -> Any:
        import torch

        return modules.wrapped(request).to(getattr(torch, name)).to(request.case.device)

    return module
