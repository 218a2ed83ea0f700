"""A torch model with the same signature for every engine: tensors in order to a tuple of tensors.

This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from typing import Any

import torch

from honed.case import FEATURES
from honed.models.checkpoint import Checkpoint
from honed.models.heads import output_names
from honed.models.torch import vectors


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """The checkpoint's transformers module, which takes its inputs positionally and returns its
    outputs as a tuple; for features with the checkpoint's pooling and the layers behind it.

    It can be traced, compiled and exported, because it has no dicts, no optional outputs and no
    branches on values.
    """

    def __init__(self, module: Any, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.module = module
        self.names = output_names(checkpoint.task, checkpoint.pooling)
        pools = checkpoint.task == FEATURES and checkpoint.pooling != "none"
        self.pooling = vectors.pooling_of(checkpoint) if pools else None
        self.layers = torch.nn.Sequential(*vectors.layers_of(checkpoint))

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None
    ) -> tuple[Any, ...]:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.module(input_ids=input_ids, attention_mask=attention_mask, **segments)
        if self.pooling is None:
            return tuple(getattr(output, name) for name in self.names)
        return (self.layers(self.pooling(output.last_hidden_state, attention_mask)),)
