"""fp16 weights and activations."""

from __future__ import annotations

from honed.backends.torch.precisions.base import Precision, in_type
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


PRECISION = Precision(in_type("float16"), check=_check)
