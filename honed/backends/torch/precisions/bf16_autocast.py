"""bf16 by autocast: fp32 weights, cast for each product; norms and softmax stay fp32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.case import Case

# TorchScript's own autocast and a trace made under this one disagree, and an exported program
# keeps no autocast around a whole model.
MODES = ("eager", "compile")
DEVICES = ("cpu", "cuda")


def check(_: Case) -> None:
    """As bf16_weights."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


def module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.casting import Autocast

    return Autocast(modules.wrapped(request)).to(request.case.device).eval()
