"""From the vectors of tokens to the vector of a text, in numpy: pooling, and the layers behind it.

`shares` is written for any library with numpy's function names (numpy itself, keras.ops). This
file is copied into delivered folders whose engine does not pool, so it imports honed for type
checkers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from honed.models.sentence_modules import VectorLayer

Floats = NDArray[np.float32]

_LEAST_LENGTH = 1e-12  # torch.nn.functional.normalize's epsilon


def shares(mask: Any, pooling: str, left_out: int = 0, library: Any = np) -> dict[str, Any]:
    """How much each token counts, by mode: arrays of the mask's shape.

    `mask` [batch, length] holds 1.0 for tokens and 0.0 for the padding behind them. The first
    `left_out` tokens do not count. A mode that is no weighted sum ("max") has 1.0 for each token
    that counts.
    """
    places = library.cumsum(library.ones_like(mask), axis=1)  # 1, 2, 3, ...
    zeros, ones = library.zeros_like(mask), library.ones_like(mask)
    kept = library.where(places > left_out, mask, zeros)
    count = library.sum(kept, axis=1, keepdims=True)
    so_far = library.cumsum(kept, axis=1)

    def of(mode: str) -> Any:
        if mode == "cls":  # the very first token where none is left, as in the library
            first = library.where(so_far <= 1, kept, zeros)
            return library.where(count > 0, first, library.where(places <= 1, ones, zeros))
        if mode == "lasttoken":
            return library.where(so_far >= count, kept, zeros)
        if mode == "weightedmean":
            total = library.sum(kept * places, axis=1, keepdims=True)
            return kept * places / library.maximum(total, 1)
        if mode == "max":
            return kept
        many = library.maximum(count, 1)
        return kept / (library.sqrt(many) if mode == "mean_sqrt_len_tokens" else many)

    return {mode: of(mode) for mode in pooling.split("+")}


def pooled(tokens: Floats, shares_by_mode: Mapping[str, Floats]) -> Floats:
    """[batch, length, hidden] -> [batch, modes x hidden]"""
    parts = [
        np.where(share[..., None] > 0, tokens, -np.inf).max(axis=1)
        if mode == "max"
        else (share[:, None] @ tokens)[:, 0]
        for mode, share in shares_by_mode.items()
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def transformed(
    vectors: Floats, layers: Sequence[VectorLayer], tensors: Mapping[str, Floats]
) -> Floats:
    """The vectors [batch, width] behind all layers. `tensors` are named by the place of the layer
    and the name in its file: "0.linear.weight"."""
    for place, layer in enumerate(layers):
        if layer.kind == "normalize":
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, _LEAST_LENGTH)
            continue
        given = vectors
        vectors = given @ tensors[f"{place}.linear.weight"].T
        if layer.bias:
            vectors = vectors + tensors[f"{place}.linear.bias"]
        vectors = _ACTIVATIONS[layer.activation](vectors)
        if layer.projects_residual:
            given = given @ tensors[f"{place}.residual.weight"].T
        vectors = vectors + given if layer.residual else vectors
    return vectors


def _sigmoid(x: Floats) -> Floats:
    halves: Floats = (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)  # overflows nowhere
    return halves


def _gelu(x: Floats) -> Floats:
    """x times the normal distribution's integral up to x.

    The error function is formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
    Functions: it errs by less than 1.5e-7. numpy has none.
    """
    z = np.abs(x.astype(np.float64)) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    factors = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    error = 1 - sum(f * t**n for n, f in enumerate(factors, 1)) * np.exp(-z * z)
    scaled: Floats = (0.5 * x * (1 + np.sign(x) * error)).astype(np.float32)
    return scaled


_ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "GELU": _gelu,
    "Identity": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "SiLU": lambda x: x * _sigmoid(x),
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
}
