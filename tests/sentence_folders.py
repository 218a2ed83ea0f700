"""Folders that the sentence-transformers library writes, and the vectors that it computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("the", "cat", "sat", "on", "mat", "dog", "ran", "far", "red", "sun", "river", "house"),
]
TEXTS = (
    "the cat sat on the mat",
    "dog",
    "the red sun ran far on the river house",
    "far far far river",
)
HIDDEN = 32
# Every mode of the library, in its own order.
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def transformer(folder: Path, *, lower: bool = True, **changes: Any) -> Path:
    """A small BERT with large random weights and a tokenizer of whole words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=64, **changes,
    )  # fmt: skip
    torch.manual_seed(4)
    module = transformers.BertModel(config)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.3)
    module.save_pretrained(folder)
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def saved(root: Path, pooling: Any, *layers: Any, **options: Any) -> Path:
    """The folder of a whole model. `pooling` is the name of a mode, several names, or a module;
    `options` are those of the library's SentenceTransformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    if isinstance(pooling, str | tuple):
        pooling = modules.Pooling(HIDDEN, pooling_mode=pooling)
    first = modules.Transformer(str(transformer(root / "plain")))
    whole = SentenceTransformer(modules=[first, pooling, *layers], device="cpu", **options)
    whole.save(str(root / "model"), create_model_card=False)
    return root / "model"


def dense(inputs: int, outputs: int, activation: Any, **options: Any) -> Any:
    """The library's Dense, with weights and biases large enough to show."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(inputs + outputs)
    layer = Dense(inputs, outputs, activation_function=activation, **options)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(std=0.3)
    return layer


def encoded(folder: Path, texts: Sequence[str] = TEXTS) -> Any:
    """The library's vectors of the texts, from what it reads from the folder."""
    from sentence_transformers import SentenceTransformer

    whole = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return whole.encode(list(texts), show_progress_bar=False)


def change_json(path: Path, **values: Any) -> None:
    """Put values into a JSON file, which is made if it does not exist."""
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(old | values))
