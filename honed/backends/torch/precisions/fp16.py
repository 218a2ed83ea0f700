"""fp16 weights and activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision
from honed.case import Case
from honed.errors import UnsupportedError
from honed.machine.facts import cpu_flags

# Without one of these a product in fp16 is many times slower than in fp32.
_INSTRUCTIONS = {"avx512_fp16", "amx_fp16", "fphp", "asimdhp"}


def _check(case: Case) -> None:
    if case.device == "cpu" and not _INSTRUCTIONS & cpu_flags():
        raise UnsupportedError(
            "this CPU has no instructions for fp16 products (avx512_fp16, amx_fp16 or Arm's)",
            "precision=bf16 or int8",
        )


def _module(request: LoadRequest, _: Path | None) -> Any:
    import torch

    return modules.wrapped(request).to(torch.float16).to(request.case.device)


PRECISION = Precision(_module, check=_check)
