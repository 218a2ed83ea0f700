"""A torch model with the same signature for every engine: tensors in order to a tuple of tensors.

This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from typing import Any

import torch

from honed.case import FEATURES
from honed.models.heads import output_names


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """A model that takes its inputs positionally and returns its outputs as a tuple.

    It can be traced, compiled and exported, because it has no dicts, no optional outputs and no
    branches on values.
    """

    def __init__(self, module: Any, task: str, pooling: str) -> None:
        super().__init__()
        self.module = module
        self.pooling = pooling if task == FEATURES else None
        self.names = output_names(task, pooling)

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None
    ) -> tuple[Any, ...]:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.module(input_ids=input_ids, attention_mask=attention_mask, **segments)
        if self.pooling is None:
            return tuple(getattr(output, name) for name in self.names)
        tokens = output.last_hidden_state  # [batch, length, hidden]
        if self.pooling == "none":
            return (tokens,)
        if self.pooling == "cls":
            return (tokens[:, 0],)
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)  # [batch, length, 1]
        return ((tokens * mask).sum(1) / mask.sum(1).clamp(min=1),)
