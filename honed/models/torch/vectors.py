"""The pooling of a checkpoint and the layers behind it, as modules of torch with their weights.

This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from typing import Any

import torch

from honed.errors import ModelError
from honed.models import weights
from honed.models.checkpoint import Checkpoint
from honed.models.sentence_modules import VectorLayer
from honed.models.tokenizer import prompt_tokens
from honed.models.torch.pooling import Dense, Normalize
from honed.models.torch.pooling import Pooling as Pooling


def pooling_of(checkpoint: Checkpoint) -> Pooling:
    return Pooling(checkpoint.pooling, prompt_tokens(checkpoint))


def layers_of(checkpoint: Checkpoint) -> list[Any]:
    """The checkpoint's layers with their weights in fp32; ModelError if a file does not fit."""
    return [_loaded(layer) if layer.folder else module_of(layer) for layer in checkpoint.layers]


def module_of(layer: VectorLayer, dtype: Any = torch.float32) -> Any:
    """The layer with random weights of this type."""
    return Normalize() if layer.kind == "normalize" else Dense(layer, dtype)


def tensors_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The weights of all layers as numpy arrays in fp32, by the names of `vectors.transformed`."""
    return {
        f"{place}.{name}": tensor.numpy()
        for place, layer in enumerate(layers_of(checkpoint))
        for name, tensor in layer.state_dict().items()
    }


def _loaded(layer: VectorLayer) -> Dense:
    assert layer.folder is not None, "a dense layer has files"
    dense = Dense(layer)
    tensors: dict[str, Any] = {}
    for file in weights.weight_files(layer.folder):
        if file.path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors |= load_file(file.path)
        else:
            tensors |= torch.load(file.path, map_location="cpu", weights_only=True)
    try:
        dense.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {layer.folder} are not those that its config.json describes: "
            f"{' '.join(str(error).split())}",
            "copy or download the folder again",
        ) from error
    return dense
