"""From the vectors of tokens to the vector of a text, as layers and operations of Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.keras.carry import LEFT_OUT
from honed.models import vectors
from honed.models.checkpoint import Checkpoint
from honed.models.sentence_modules import VectorLayer

# torch.nn's class -> Keras' name; Keras' GELU is the exact one unless it is asked for the other.
_ACTIVATIONS = {
    "GELU": "gelu", "Identity": "linear", "ReLU": "relu", "SiLU": "silu", "Sigmoid": "sigmoid",
    "Tanh": "tanh",
}  # fmt: skip
_LEAST_LENGTH = 1e-12


def of_texts(
    tokens: Any, mask: Any, checkpoint: Checkpoint, folder: Path
) -> tuple[Any, dict[str, Any]]:
    """The output for features, from tokens [batch, length, hidden] and their mask, and the layers
    whose weights are in the artifact's folder, by `carry`'s names."""
    if checkpoint.pooling == "none":
        return tokens, {}
    left_out = int((folder / LEFT_OUT).read_text())
    output = _pooled(tokens, mask, checkpoint.pooling, left_out)
    layers: dict[str, Any] = {}
    for place, layer in enumerate(checkpoint.layers):
        if layer.kind == "normalize":
            output = _normalised(output)
            continue
        parts = _dense(layer, str(tokens.dtype))
        given, output = output, parts["linear"](output)
        if layer.residual:
            output = output + (parts["residual"](given) if "residual" in parts else given)
        layers |= {f"layers.{place}.{name}": part for name, part in parts.items()}
    return output, layers


def _pooled(tokens: Any, mask: Any, pooling: str, left_out: int) -> Any:
    from keras import ops

    wide = ops.cast(tokens, "float32")  # sums of many tokens need fp32
    shares = vectors.shares(ops.cast(mask, "float32"), pooling, left_out, ops)
    parts = []
    for mode, share in shares.items():
        share = ops.expand_dims(share, -1)  # [batch, length, 1]
        if mode == "max":
            parts.append(ops.max(ops.where(share > 0, wide, -np.inf), axis=1))
        else:
            parts.append(ops.sum(wide * share, axis=1))
    joined = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
    return ops.cast(joined, tokens.dtype)


def _normalised(output: Any) -> Any:
    from keras import ops

    wide = ops.cast(output, "float32")
    lengths = ops.sqrt(ops.sum(ops.square(wide), axis=-1, keepdims=True))
    return ops.cast(wide / ops.maximum(lengths, _LEAST_LENGTH), output.dtype)


def _dense(layer: VectorLayer, policy: str) -> dict[str, Any]:
    import keras

    activation = _ACTIVATIONS[layer.activation]
    parts = {
        "linear": keras.layers.Dense(
            layer.outputs, activation=activation, use_bias=layer.bias, dtype=policy
        )
    }
    if layer.projects_residual:
        parts["residual"] = keras.layers.Dense(layer.outputs, use_bias=False, dtype=policy)
    return parts
