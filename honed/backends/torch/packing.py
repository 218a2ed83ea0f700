"""A transformers body that computes only real tokens. Imports torch, so it is imported late.

Linear layers and norms see the tokens of all sequences one after another, as one row without
padding; attention sees one sequence at a time. The model's own head gets padded tokens again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

NAME = "honed_packed"  # what transformers calls this attention, in config._attn_implementation


class Packed(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """`body` with a forward that packs its inputs and pads its outputs.

    `first_position` is the position of the first token: the RoBERTa family counts from the padding
    id + 1.
    """

    def __init__(self, body: Any, first_position: int) -> None:
        super().__init__()
        self.body = body
        self.first_position = first_position

    @property
    def config(self) -> Any:
        return self.body.config

    def forward(
        self,
        input_ids: Any,  # [batch, length]
        attention_mask: Any,
        token_type_ids: Any = None,
        **more: Any,
    ) -> Any:
        real = attention_mask.to(torch.bool, copy=True)
        real[:, 0] = True  # an empty sequence still has an output
        lengths = real.sum(1).tolist()
        positions = real.cumsum(1) - 1 + self.first_position
        segments = {} if token_type_ids is None else {"token_type_ids": _row(token_type_ids, real)}
        output = self.body(
            input_ids=_row(input_ids, real),
            position_ids=_row(positions, real),
            sequence_lengths=lengths,
            **segments,
            **{key: value for key, value in more.items() if value is not None},
        )
        tokens = output.last_hidden_state  # [1, real tokens, hidden]
        padded = tokens.new_zeros((*real.shape, tokens.shape[-1]))
        padded[real] = tokens[0]
        output.last_hidden_state = padded
        pooler = getattr(self.body, "pooler", None)
        if pooler is not None and getattr(output, "pooler_output", None) is not None:
            output.pooler_output = pooler(padded)  # the body pooled only the first sequence
        return output


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
) -> tuple[Any, None]:
    """Attention of each sequence apart. query, key, value: [1, heads, tokens, width of a head].

    `attention_mask` is None: transformers makes no mask for an attention without a mask function.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    assert attention_mask is None
    plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
    lengths: Sequence[int] = more.pop("sequence_lengths")
    window: int | None = more.pop("sliding_window", None)
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    attended = [
        plain(module, q, k, v, _band(q.shape[2], window, q.device), **more)[0] for q, k, v in parts
    ]
    return torch.cat(attended, dim=1), None  # [1, tokens, heads, width of a head]


def _row(tensor: Any, real: Any) -> Any:
    """[batch, length] -> [1, real tokens]"""
    return tensor[real].unsqueeze(0)


def _band(length: int, window: int | None, device: Any) -> Any:
    """The mask of local attention: a query sees keys nearer than `window`. None if it sees all."""
    if window is None or length <= window:
        return None
    index = torch.arange(length, device=device)
    return (index[:, None] - index[None]).abs() < window  # [length, length]
