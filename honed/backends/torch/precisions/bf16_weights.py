"""bf16 weights and activations. A CPU without bf16 instructions emulates them: slow but right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision


def _module(request: LoadRequest, _: Path | None) -> Any:
    import torch

    return modules.wrapped(request).to(torch.bfloat16).to(request.case.device)


PRECISION = Precision(_module)
