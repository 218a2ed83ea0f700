"""bf16 by autocast: fp32 weights, cast for each product; norms and softmax stay fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions._unbuilt import artifact, build, check

# TorchScript's own autocast and a trace made under this one disagree, and an exported program
# keeps no autocast around a whole model.
MODES = ("eager", "compile")
DEVICES = ("cpu", "cuda")
__all__ = ["DEVICES", "MODES", "artifact", "build", "check", "module"]


def module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.casting import Autocast

    return Autocast(modules.wrapped(request)).to(request.case.device).eval()
