"""int8 with ranges of activations found as it runs: weights quantised, one layer at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions._unbuilt import artifact, build, check

MODES = ("eager", "torchscript")
DEVICES = ("cpu",)
__all__ = ["DEVICES", "MODES", "artifact", "build", "check", "module"]


def module(request: LoadRequest, _: Path | None) -> Any:
    import torch

    # A scale per output channel, not per matrix: on the real MiniLM the least cosine of short
    # texts rises from 0.91 to 0.96, at the same speed.
    scales = torch.ao.quantization.per_channel_dynamic_qconfig
    return torch.ao.quantization.quantize_dynamic(
        modules.wrapped(request), {torch.nn.Linear: scales}, dtype=torch.qint8, inplace=True
    )
