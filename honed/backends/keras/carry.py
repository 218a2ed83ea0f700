"""Convert the checkpoint's weights for Keras: one file, in the precision that will run.

keras-hub's own converters take only safetensors, need a pooler that many checkpoints lack, know
one prefix of the names and leave out ELECTRA. This one starts from the loaded torch module, so it
takes every checkpoint that honed loads, with the same checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.backends.keras.families import Family, family_of, rows
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES
from honed.models.tokenizer import prompt_tokens

FILE = "weights.safetensors"
LEFT_OUT = "left_out.txt"  # how many tokens at the start of a text are not pooled


def carry(checkpoint: Checkpoint, precision: str, folder: Path) -> None:
    """Write `LEFT_OUT`, and `FILE`: honed's layer name and Keras' variable name -> tensor; bf16 as
    its bits."""
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
    (folder / LEFT_OUT).write_text(str(prompt_tokens(checkpoint)))


def _stored(tensor: Any, precision: str) -> Any:
    import torch

    if precision == "bf16":  # numpy has no bf16, so its bits are stored as int16
        return tensor.to(torch.bfloat16).contiguous().view(torch.int16)
    return tensor.float().contiguous()


def _layers(module: Any, checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    """honed's name of each layer that runs, and the torch layer."""
    from honed.models.torch.vectors import layers_of

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
        for layer, name_in_torch in family.layout.layers.items():
            yield f"{index}.{layer}", block.get_submodule(name_in_torch)
    if checkpoint.task != FEATURES:
        hidden, _, last = family.head
        yield "head.hidden", module.get_submodule(hidden)
        yield "head.last", module.get_submodule(last)
    for place, layer in enumerate(layers_of(checkpoint)):
        for part in ("linear", "residual"):
            if hasattr(layer, part):
                yield f"layers.{place}.{part}", getattr(layer, part)


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
        if part.bias is not None:
            yield f"{layer}.bias", part.bias


def _positions(weight: Any, checkpoint: Checkpoint, module: Any) -> Any:
    """The rows that are used. Where keras-hub has no token types, the vector of the only one is
    added to every position."""
    family: Family = family_of(checkpoint)
    positions = weight[-rows(checkpoint) :] if family.offset else weight
    types = getattr(module.base_model.embeddings, "token_type_embeddings", None)
    return positions if family.segments or types is None else positions + types.weight[0]
