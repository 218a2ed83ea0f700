"""From the vectors of tokens to the vector of a text, in torch: pooling, and the layers behind it.

This file imports torch, so other files import it inside functions. It is copied into delivered
folders that run the checkpoint, so it imports honed for type checkers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from honed.models.sentence_modules import VectorLayer


class Pooling(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """Token vectors [batch, length, hidden] to one vector a text [batch, modes x hidden].

    Padding stands behind the tokens. The first `left_out` tokens do not count.
    """

    def __init__(self, pooling: str, left_out: int = 0) -> None:
        super().__init__()
        self.modes = pooling.split("+")
        self.left_out = left_out

    def forward(self, tokens: Any, mask: Any) -> Any:
        if self.left_out:
            mask = mask * (torch.arange(mask.shape[1], device=mask.device) >= self.left_out)
        # Sums of many tokens need fp32, as in sentence-transformers.
        narrow = tokens.dtype in (torch.bfloat16, torch.float16)
        wide = tokens.float() if narrow else tokens
        parts = [self._by(mode, wide, mask) for mode in self.modes]
        vectors = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return vectors.to(tokens.dtype) if narrow else vectors

    def _by(self, mode: str, tokens: Any, mask: Any) -> Any:
        kept = mask.unsqueeze(-1).to(tokens.dtype)  # [batch, length, 1]
        if mode == "cls":
            # The very first token where none is left, as in sentence-transformers.
            return _at(tokens, mask.amax(1) * self.left_out) if self.left_out else tokens[:, 0]
        if mode == "lasttoken":
            last = (mask * torch.arange(mask.shape[1], device=mask.device)).amax(1)
            vectors = _at(tokens, last)
            return vectors * mask.amax(1, keepdim=True) if self.left_out else vectors
        if mode == "max":
            return tokens.masked_fill(kept == 0, float("-inf")).amax(1)
        if mode == "weightedmean":
            places = torch.arange(1, mask.shape[1] + 1, device=mask.device).unsqueeze(-1)
            kept = kept * places
        count = kept.sum(1).clamp(min=1)
        return (tokens * kept).sum(1) / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


class Dense(torch.nn.Module):  # type: ignore[misc]
    """activation(W x + b), and x added to it where the layer has a residual connection."""

    def __init__(self, layer: VectorLayer, dtype: Any = torch.float32) -> None:
        super().__init__()
        sizes = layer.inputs, layer.outputs
        self.linear = torch.nn.Linear(*sizes, bias=layer.bias, dtype=dtype)
        self.activation = getattr(torch.nn, layer.activation)()
        self.adds_input = layer.residual
        if layer.projects_residual:
            self.residual = torch.nn.Linear(*sizes, bias=False, dtype=dtype)

    def forward(self, x: Any) -> Any:
        y = self.activation(self.linear(x))
        if not self.adds_input:
            return y
        return y + (self.residual(x) if hasattr(self, "residual") else x)


class Normalize(torch.nn.Module):  # type: ignore[misc]
    """Each vector scaled to length 1."""

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.normalize(x, p=2.0, dim=-1)


def _at(tokens: Any, places: Any) -> Any:
    """One token of each sequence: [batch, length, hidden] and places [batch] -> [batch, hidden]"""
    index = places.view(-1, 1, 1).expand(-1, 1, tokens.shape[-1])
    return tokens.gather(1, index).squeeze(1)
