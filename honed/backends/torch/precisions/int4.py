"""int4 weights in groups of 32 with a scale and a zero each; activations stay fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision


def _module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.int4_linear import quantise

    return quantise(modules.wrapped(request))


# torch's own CPU kernel. Without AVX-512 or AVX2 it is slow but right.
PRECISION = Precision(_module, devices=("cpu",))
