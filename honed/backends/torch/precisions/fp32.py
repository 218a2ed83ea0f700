"""fp32: as the checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions._unbuilt import artifact, build, check

MODES = ("eager", "compile", "aoti", "torchscript")
DEVICES = ("cpu", "cuda")
__all__ = ["DEVICES", "MODES", "artifact", "build", "check", "module"]


def module(request: LoadRequest, _: Path | None) -> Any:
    return modules.wrapped(request).to(request.case.device)
