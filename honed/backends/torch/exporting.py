"""torch.export: the module as one graph with free batch and length."""

from __future__ import annotations

import warnings
from typing import Any

from honed.backends.base import LoadRequest

_LENGTH = 16  # of the example; any that is no special case does


def example(request: LoadRequest) -> tuple[Any, ...]:
    """Ids [2, 16]; the mask has a padded tail."""
    import torch

    from honed.models.heads import input_names
    from honed.models.inputs import random_inputs

    batch = random_inputs(request.checkpoint, 2, _LENGTH, seed=0).batches[0]
    batch["attention_mask"][-1, _LENGTH - 4 :] = 0
    names = input_names(request.checkpoint)
    return tuple(torch.from_numpy(batch[name]).to(request.case.device) for name in names)


def exported(module: Any, request: LoadRequest) -> Any:
    """The ExportedProgram."""
    import torch

    inputs = example(request)
    longest = request.checkpoint.max_positions
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, inputs, dynamic_shapes=tuple(free for _ in inputs))
