"""torch.export: the module as one graph with free batch and length."""

from __future__ import annotations

import warnings
from typing import Any

from honed.backends._torch import example_inputs
from honed.backends.base import LoadRequest


def exported(module: Any, request: LoadRequest) -> Any:
    """The ExportedProgram."""
    import torch

    inputs = example_inputs(request)
    longest = request.checkpoint.max_positions
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, inputs, dynamic_shapes=tuple(free for _ in inputs))
