"""fp32: as the checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.case import Case

MODES = ("eager", "compile", "aoti", "torchscript")
DEVICES = ("cpu", "cuda")


def check(_: Case) -> None:
    """Every machine has it."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


def module(request: LoadRequest, _: Path | None) -> Any:
    return modules.wrapped(request).to(request.case.device)
