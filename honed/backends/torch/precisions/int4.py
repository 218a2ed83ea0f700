"""int4 weights in groups of 32 with a scale and a zero each; activations stay fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions._unbuilt import artifact, build, check

MODES = ("eager", "compile", "aoti", "torchscript")
# torch's own kernel; without AVX-512 or AVX2 it is slow, and right.
DEVICES = ("cpu",)
__all__ = ["DEVICES", "MODES", "artifact", "build", "check", "module"]


def module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.int4_linear import quantise

    return quantise(modules.wrapped(request))
