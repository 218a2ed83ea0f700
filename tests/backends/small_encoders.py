"""Small checkpoints of encoders in which every parameter is random, and a batch for them.

Activations other than the usual one, and an epsilon of the norms far from the usual one, show up
in a cosine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

_SHARED = {"vocab_size": 300, "pad_token_id": 1}
_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {**_SMALL, "layer_norm_eps": 0.1, "hidden_act": "gelu_new"},
    "roberta": {**_SMALL, "type_vocab_size": 1},
    "xlm-roberta": {**_SMALL, "type_vocab_size": 2, "pad_token_id": 3},
    "camembert": {**_SMALL, "type_vocab_size": 1},
    "distilbert": {
        "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 40,
    },
    "electra": {**_SMALL, "embedding_size": 16, "hidden_act": "relu"},
}  # fmt: skip
_CLASSES = {
    "feature-extraction": "AutoModel",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "masked-lm": "AutoModelForMaskedLM",
}
TASKS = tuple(_CLASSES)


def made(
    folder: Path, model_type: str, task: str = "feature-extraction", pooling: str = "auto",
    **how: Any,
) -> Checkpoint:  # fmt: skip
    """`how` changes keys of the configuration, the `dtype`, or the size of the shards."""
    import torch
    import transformers

    dtype, shard = how.pop("dtype", "float32"), how.pop("shard", "5GB")
    torch.manual_seed(0)
    settings = _SHARED | SHAPES[model_type] | how
    config = transformers.AutoConfig.for_model(model_type, **settings)
    module = getattr(transformers, _CLASSES[task]).from_config(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.1, 0.3)
    module.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    return materialise(ModelRequest(str(folder), task=task, pooling=pooling))


def batch_of(checkpoint: Checkpoint, length: int = 12) -> dict[str, Any]:
    """Three lengths, padded on the right, with both segments where there are two."""
    batch = dict(random_inputs(checkpoint, 3, length, seed=5).batches[0])
    batch["attention_mask"][1, 9:] = 0
    batch["attention_mask"][2, 4:] = 0
    padding = int(checkpoint.config.get("pad_token_id") or 0)
    batch["input_ids"][batch["attention_mask"] == 0] = padding
    if "token_type_ids" in batch:
        batch["token_type_ids"][0, 6:] = 1
    return batch
