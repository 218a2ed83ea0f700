"""fp32: the checkpoint's weights unchanged."""

from __future__ import annotations

from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision

PRECISION = Precision(lambda request, _: modules.wrapped(request).to(request.case.device))
