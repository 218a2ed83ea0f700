"""Feed-forwards of modules, computed for some tokens at a time.

A feed-forward widens each token by itself, so its wide tensors need not exist for all tokens of a
long sequence at once. Names and structure alone do not tell a feed-forward from other modules that
widen (some attentions project to three times their width), so one layer is tried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

_NAMES = ("mlp", "feedforward", "ffn")  # in the names of the classes of transformers
_LEAST_ROWS = 64  # narrower products would be slow: the library prepares all weights for each
_TRIED_ROWS = 4
_ROUNDING = 0.02  # of bf16, relative to the largest output; tokens that mix differ by all of it


def compute_by_rows(
    layers: Sequence[Any], rows: int, holding: Callable[[], AbstractContextManager[None]]
) -> None:
    """Let the feed-forwards of the layers compute at most `rows` tokens at a time. Inside
    `holding()`, weights that are loaded for one call stay for the next."""
    for name in list(_names(layers[0])) if layers else []:
        if _treats_each_row_alone(layers[0].get_submodule(name)):
            for layer in layers:
                _cut(layer.get_submodule(name), max(rows, _LEAST_ROWS), holding)


def _names(layer: Any) -> Iterator[str]:
    for name, module in layer.named_children():
        if any(word in type(module).__name__.lower() for word in _NAMES):
            yield name


def _treats_each_row_alone(module: Any) -> bool:
    """Whether the outputs of all tokens together are those of each token alone, for random
    states."""
    matrix = next((p for p in module.parameters() if p.dim() == 2), None)
    if matrix is None:
        return False
    for width in dict.fromkeys((matrix.shape[1], matrix.shape[0])):  # Conv1D has inputs first
        states = torch.randn(1, _TRIED_ROWS, width, generator=torch.Generator().manual_seed(0))
        states = states.to(matrix.dtype)
        try:
            with torch.inference_mode():
                whole = module(states)
                each = [module(states[:, row : row + 1]) for row in range(_TRIED_ROWS)]
        except (RuntimeError, TypeError, ValueError):
            continue  # another width, or more inputs than the states
        if not isinstance(whole, torch.Tensor) or whole.shape[:2] != states.shape[:2]:
            return False
        apart = (whole - torch.cat(each, 1)).abs().max()
        return bool(apart <= _ROUNDING * whole.abs().max())
    return False


def _cut(module: Any, rows: int, holding: Callable[[], AbstractContextManager[None]]) -> None:
    whole = module.forward

    def forward(states: Any) -> Any:
        if states[..., 0].numel() <= rows:
            return whole(states)
        flat = states.reshape(1, -1, states.shape[-1])
        result = None
        with holding():
            for first in range(0, flat.shape[1], rows):
                part = whole(flat[:, first : first + rows])
                if result is None:
                    result = part.new_empty(1, flat.shape[1], part.shape[-1])
                result[:, first : first + rows] = part
        assert result is not None
        return result.view(*states.shape[:-1], -1)

    module.forward = forward
