"""The checkpoint's weights, carried over for Keras: one file, in the precision that will run.

keras-hub's own converters take safetensors only, ask for a pooler that many checkpoints lack, are
tied to one prefix of the names, and leave out ELECTRA; ours starts from the loaded torch module,
so that it takes whatever honed takes, checked the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.backends.keras.families import Family, family_of, rows
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES

FILE = "weights.safetensors"


def carry(checkpoint: Checkpoint, precision: str, folder: Path) -> None:
    """Write `FILE`: our layer name and Keras' variable name -> tensor, bf16 as its bits."""
    import torch
    from safetensors.torch import save_file

    from honed.models.torch.module import load_module

    module = load_module(checkpoint)
    with torch.no_grad():
        tensors = {
            name: _stored(tensor, precision)
            for layer, part in _layers(module, checkpoint)
            for name, tensor in _variables(layer, part, checkpoint, module)
        }
    save_file(tensors, folder / FILE)


def _stored(tensor: Any, precision: str) -> Any:
    import torch

    if precision == "bf16":  # numpy has no such type; its bits are read as they are
        return tensor.to(torch.bfloat16).contiguous().view(torch.int16)
    return tensor.float().contiguous()


def _layers(module: Any, checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    """Our name of each layer that runs, and the torch layer."""
    family = family_of(checkpoint)
    body = module.base_model
    yield "tokens", body.embeddings.word_embeddings
    yield "positions", body.embeddings.position_embeddings
    if family.segments:
        yield "segments", body.embeddings.token_type_embeddings
    yield "norm", body.embeddings.LayerNorm
    if hasattr(body, "embeddings_project"):
        yield "projection", body.embeddings_project
    for index, block in enumerate(body.get_submodule(family.layout.blocks)):
        for ours, theirs in family.layout.layers.items():
            yield f"{index}.{ours}", block.get_submodule(theirs)
    if checkpoint.task != FEATURES:
        hidden, _, last = family.head
        yield "head.hidden", module.get_submodule(hidden)
        yield "head.last", module.get_submodule(last)


def _variables(
    layer: str, part: Any, checkpoint: Checkpoint, module: Any
) -> Iterator[tuple[str, Any]]:
    import torch

    if layer == "positions":
        yield f"{layer}.position_embeddings", _positions(part.weight, checkpoint, module)
    elif isinstance(part, torch.nn.Embedding):
        yield f"{layer}.embeddings", part.weight
    elif isinstance(part, torch.nn.LayerNorm):
        yield f"{layer}.gamma", part.weight
        yield f"{layer}.beta", part.bias
    else:
        yield f"{layer}.kernel", part.weight.T  # torch: [out, in]; Keras: [in, out]
        yield f"{layer}.bias", part.bias


def _positions(weight: Any, checkpoint: Checkpoint, module: Any) -> Any:
    """The rows that are used, with the only token type added where keras-hub has no such layer."""
    family: Family = family_of(checkpoint)
    positions = weight[-rows(checkpoint) :] if family.offset else weight
    types = getattr(module.base_model.embeddings, "token_type_embeddings", None)
    return positions if family.segments or types is None else positions + types.weight[0]
