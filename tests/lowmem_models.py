"""Small checkpoints of many families, written by transformers with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.models.checkpoint import Checkpoint, ModelRequest, inspect

TASKS = ("feature-extraction", "sequence-classification", "token-classification",
         "question-answering", "masked-lm")  # fmt: skip
_SMALL = {"vocab_size": 100, "max_position_embeddings": 40}
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 64}  # fmt: skip
# Encoders whose layers `layout.py` describes.
DESCRIBED: dict[str, dict[str, Any]] = {
    "bert": {**_SMALL, **_SIZES},
    "roberta": {**_SMALL, **_SIZES, "pad_token_id": 1},
    "xlm-roberta": {**_SMALL, **_SIZES, "pad_token_id": 1},
    "camembert": {**_SMALL, **_SIZES, "pad_token_id": 1},
    "electra": {**_SMALL, **_SIZES, "embedding_size": 16},
    "distilbert": {**_SMALL, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
}
# Models that run by hooks around transformers' modules.
OTHERS: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        **_SMALL, **_SIZES, "relative_attention": True, "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "norm_rel_ebd": "layer_norm",
        "position_biased_input": False, "type_vocab_size": 0,
    },
    "modernbert": {**_SMALL, **_SIZES, "local_attention": 8, "pad_token_id": 0},
    "albert": {**_SMALL, **_SIZES, "embedding_size": 16},
    "mpnet": {**_SMALL, **_SIZES, "pad_token_id": 1},
}  # fmt: skip
DECODERS: dict[str, dict[str, Any]] = {
    "llama": {**_SMALL, **_SIZES, "num_key_value_heads": 1, "pad_token_id": 0},
    "gpt2": {"vocab_size": 100, "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 2},
}
ALL = DESCRIBED | OTHERS | DECODERS


def saved(folder: Path, kind: str, task: str, **options: Any) -> Checkpoint:
    """A checkpoint in the folder. `options` go to save_pretrained."""
    import torch
    from transformers import AutoConfig

    from honed.models.torch.module import auto_class, import_transformers

    config = AutoConfig.for_model(kind, **ALL[kind])
    torch.manual_seed(0)
    module = auto_class(import_transformers(), task).from_config(config)
    for parameter in module.parameters():  # norms and biases begin as ones and zeros
        parameter.data += 0.05 * torch.randn_like(parameter)
    module.to(options.pop("dtype", torch.float32)).save_pretrained(folder, **options)
    return inspect(
        folder, ModelRequest(str(folder), task=task, pooling=options.get("pool", "auto"))
    )
