"""A torch model with the same signature for every engine: tensors in order to a tuple of tensors.

This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from honed.case import FEATURES
from honed.models.checkpoint import Checkpoint
from honed.models.heads import output_names
from honed.models.torch import vectors


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """A transformers module that takes its inputs positionally and returns its outputs as a tuple.

    For features, the vectors of a text pass through a pooling and the layers behind it. The head
    can be traced, compiled and exported, because it has no dicts, no optional outputs and no
    branches on values.
    """

    def __init__(self, module: Any, task: str, pooling: Any, layers: Sequence[Any] = ()) -> None:
        """`pooling` is the name of a pooling, or a module that computes one."""
        super().__init__()
        self.module = module
        name = pooling if isinstance(pooling, str) else "+".join(pooling.modes)
        self.names = output_names(task, name)
        if isinstance(pooling, str):
            pooling = None if task != FEATURES or name == "none" else vectors.Pooling(name)
        self.pooling = pooling
        self.layers = torch.nn.Sequential(*layers)

    @classmethod
    def of(cls, module: Any, checkpoint: Checkpoint) -> Head:
        """The loaded module of a checkpoint, with all that the checkpoint puts behind it."""
        task, pooling = checkpoint.task, checkpoint.pooling
        if task != FEATURES or pooling == "none":
            return cls(module, task, pooling)
        return cls(module, task, vectors.pooling_of(checkpoint), vectors.layers_of(checkpoint))

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None
    ) -> tuple[Any, ...]:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.module(input_ids=input_ids, attention_mask=attention_mask, **segments)
        if self.pooling is None:
            return tuple(getattr(output, name) for name in self.names)
        return (self.layers(self.pooling(output.last_hidden_state, attention_mask)),)
