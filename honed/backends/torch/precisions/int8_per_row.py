"""int8 weights; the range of activations is found anew for each token, so that a text's output is
the same in every batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.backends.torch.precisions.base import Precision


def _module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.per_row_linear import quantise

    return quantise(modules.wrapped(request))


PRECISION = Precision(_module, devices=("cpu",))
