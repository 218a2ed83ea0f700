"""bf16: weights and activations alike."""

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
    """Without instructions for it torch computes it slowly, and right."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


def module(request: LoadRequest, _: Path | None) -> Any:
    import torch

    return modules.wrapped(request).to(torch.bfloat16).to(request.case.device)
