"""bf16 weights and activations. A CPU without bf16 instructions emulates them: slow but right."""

from __future__ import annotations

from honed.backends.torch.precisions.base import Precision, in_type

PRECISION = Precision(in_type("bfloat16"))
