"""The estimate for models that cannot be traced: formulas over the sizes in config.json.

U is a hidden tensor (batch x length x width), F one of the feed forward, S the scores of all heads
(batch x heads x length x length). An encoder layer in eager attention holds 2 S + 7 U at its peak
without gradients, as published measurements of BERT show. With gradients it keeps 8 U + 2 F + S,
and 2 S with dropout. Fused attention keeps no S. What a model does beyond a plain encoder layer is
not in these formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.errors import ModelError
from honed.plan.settings import Settings
from honed.timeline import MemoryKind

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_WORDS = {
    "width": ("hidden_size", "d_model", "dim", "n_embd"),
    "layers": ("num_hidden_layers", "num_layers", "n_layers", "n_layer"),
    "heads": ("num_attention_heads", "num_heads", "n_heads", "n_head"),
    "inner": ("intermediate_size", "d_ff", "hidden_dim", "n_inner"),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by kind at the peak."""

    parameters: int
    weights_bytes: int
    by_kind: Mapping[str, int]

    @property
    def peak_bytes(self) -> int:
        return sum(self.by_kind.values())


def estimate(
    config: Mapping[str, Any], task: str, settings: Settings, parameters: int | None = None
) -> Estimate:
    """`parameters` is their real number, if known. ModelError without sizes in the config."""
    width, layers, heads = (size(config, key) for key in ("width", "layers", "heads"))
    inner = size(config, "inner", 4 * width)
    element = _BYTES[settings.autocast or settings.dtype]
    tokens = settings.batch_size * settings.sequence_length
    unit, forward = tokens * width * element, tokens * inner * element
    scores = tokens * settings.sequence_length * heads * element
    if settings.attention in ("sdpa", "flash", "auto"):
        scores = 0
    if parameters is None:
        parameters = _parameters(config, width, layers, inner)
    weights = parameters * _BYTES[settings.dtype]
    by_kind = dict.fromkeys((str(kind) for kind in MemoryKind), 0)
    by_kind["weights"] = weights
    if settings.has_gradients:
        is_training = settings.mode == "train"
        of_layer = 8 * unit + 2 * forward + (2 if is_training else 1) * scores
        by_kind["activations"] = _kept_by_layers(settings, layers, unit, of_layer) + 2 * unit
        by_kind["temporaries"] = 2 * forward + 2 * scores if is_training else scores
    else:
        by_kind["activations"] = 3 * unit
        by_kind["temporaries"] = max(4 * unit + 2 * scores, 2 * forward)
    if task in ("masked-lm", "causal-lm"):
        copies = 3 if settings.mode == "train" else 1  # logits, their log-softmax, its gradient
        by_kind["activations"] += copies * tokens * int(config["vocab_size"]) * element
    if settings.mode == "train":
        by_kind["gradients"] = weights
        by_kind["optimizer"] = 2 * weights if settings.optimizer.name == "adamw" else 0
    return Estimate(parameters, weights, by_kind)


def _kept_by_layers(settings: Settings, layers: int, unit: int, of_layer: int) -> int:
    """Bytes that all layers keep for their backward pass; `unit` is the input of one of them."""
    if settings.checkpointing == "off":
        return layers * of_layer
    if settings.checkpointing == "blocks":
        return layers * unit
    group = math.ceil(math.sqrt(layers))
    return (math.ceil(layers / group) + group) * unit  # inputs of groups, and of one's blocks


def least_of_sequence(config: Mapping[str, Any], sequence_length: int) -> int:
    """The numbers that any engine holds at once for one sequence while it computes a whole layer:
    the hidden states and the inner tensor of the feed forward, which is left out where the model
    computes its feed forward in chunks. ModelError where the configuration leaves the width out.
    """
    width = size(config, "width")
    inner = 0 if config.get("chunk_size_feed_forward") else size(config, "inner", 4 * width)
    return sequence_length * (width + inner)


def embedding_elements(config: Mapping[str, Any]) -> int:
    """The numbers in the word embeddings; ModelError where the configuration leaves the width
    out."""
    width = config.get("embedding_size") or size(config, "width")
    return int(config.get("vocab_size") or 0) * int(width)


def size(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    for word in _WORDS[key]:
        if isinstance(value := config.get(word), int):
            return value
    if default is not None:
        return default
    raise ModelError(
        f"the model cannot be traced, and its config.json has no {_WORDS[key][0]}",
        "a newer transformers may know the model: pip install -U transformers",
    )


def _parameters(config: Mapping[str, Any], width: int, layers: int, inner: int) -> int:
    """Embeddings; and in each layer four projections, two products and two norms, with biases."""
    rows = sum(
        int(config.get(key) or 0)
        for key in ("vocab_size", "max_position_embeddings", "type_vocab_size")
    )
    layer = 4 * (width + 1) * width + 2 * width * inner + inner + width + 4 * width
    return rows * width + layers * layer + 2 * width
