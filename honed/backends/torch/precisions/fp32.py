"""fp32: the checkpoint's weights unchanged."""

from __future__ import annotations

from honed.backends.torch.precisions.base import Precision, in_type

PRECISION = Precision(in_type("float32"))
