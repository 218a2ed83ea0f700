"""bf16 by autocast: fp32 weights that are cast for each product; norms and softmax stay fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision


def _module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.casting import Autocast

    return Autocast(modules.wrapped(request)).to(request.case.device).eval()


# TorchScript's own autocast disagrees with a trace made under this one, and an exported program
# keeps no autocast around a whole model.
PRECISION = Precision(_module, modes=("eager", "compile"))
