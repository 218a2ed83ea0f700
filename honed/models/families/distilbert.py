"""DistilBERT: half of BERT's layers, no segments, no pooler, and words of its own for sizes."""

from __future__ import annotations

from dataclasses import replace

from honed.models.families.base import Family, Preset
from honed.models.products import Call, flops_without_pooler


def _flops(call: Call) -> int:
    sizes = {
        "hidden_size": call.config["dim"],
        "num_hidden_layers": call.config["n_layers"],
        "intermediate_size": call.config["hidden_dim"],
    }
    return flops_without_pooler(replace(call, config={**call.config, **sizes}))


_BASE = {
    "vocab_size": 30522, "max_position_embeddings": 512, "sinusoidal_pos_embds": False,
    "n_layers": 6, "n_heads": 12, "dim": 768, "hidden_dim": 3072, "pad_token_id": 0,
}  # fmt: skip

FAMILY = Family(
    model_types=("distilbert",),
    flops=_flops,
    presets=(
        Preset("distilbert-base-uncased", "distilbert", _BASE,
               "DistilBERT, 66 M parameters", aliases=("distilbert", "distilbert-base")),
    ),
)  # fmt: skip
