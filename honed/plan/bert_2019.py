"""The operators of BERT's code of 2019, from before fused ones, to check published tables.

That code kept more for the backward pass: the GELU was five operators, and the division of the
scores by a number saved its input. Its attention held the masked scores until it returned.
This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from honed.models.torch.module import import_transformers

NAME = "honed_2019"  # what transformers calls this attention


class _Divide(torch.autograd.Function):  # type: ignore[misc]  # torch is not type-checked here
    """Division by a number that saves its input, as torch did in 2019."""

    @staticmethod
    def forward(ctx: Any, x: Any, divisor: float) -> Any:
        ctx.save_for_backward(x)
        ctx.divisor = divisor
        return x / divisor

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
        return gradient / ctx.divisor, None


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
) -> tuple[Any, None]:
    """query, key, value: [batch, heads, length, width of a head]; the mask is added to scores."""
    scores = torch.matmul(query, key.transpose(-1, -2))
    scores = _Divide.apply(scores, math.sqrt(query.shape[-1]))
    scores = scores + attention_mask
    shares = torch.softmax(scores, dim=-1)
    shares = torch.nn.functional.dropout(shares, more.get("dropout", 0.0), module.training)
    context = torch.matmul(shares, value)
    context = context.permute(0, 2, 1, 3).contiguous()
    return context, None


class _Gelu(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    def forward(self, x: Any) -> Any:
        return x * 0.5 * (1.0 + torch.erf(_Divide.apply(x, math.sqrt(2.0))))


def register() -> str:
    """Register the attention with transformers; returns its name."""
    import_transformers().AttentionInterface.register(NAME, attention)
    return NAME


def rewrite(module: Any) -> None:
    """Give a BERT that was built with this attention the rest of the operators."""
    for part in module.modules():
        if hasattr(part, "intermediate_act_fn"):
            part.intermediate_act_fn = _Gelu()
        part._buffers.pop("token_type_ids", None)  # a buffer that later versions added


class FromIds(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """`module` called with ids alone. Mask and token types are made as the code of 2019 did."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, input_ids: Any) -> Any:
        mask = torch.ones(input_ids.shape)
        segments = torch.zeros(input_ids.shape, dtype=torch.int64)
        added = (1.0 - mask[:, None, None, :]) * -10000.0  # [batch, 1, 1, length]
        return self.module(input_ids=input_ids, attention_mask=added, token_type_ids=segments)
