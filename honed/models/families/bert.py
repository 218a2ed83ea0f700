"""BERT and its smaller copies: learned positions, two segments, a pooler."""

from __future__ import annotations

from typing import Any

from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import bert_flops


def bert(hidden: int, layers: int, heads: int, vocab: int = 30522) -> dict[str, Any]:
    """The configuration of a BERT of these sizes; the feed forward is four times as wide."""
    return encoder_sizes(
        hidden, layers, heads, 4 * hidden, vocab_size=vocab, max_position_embeddings=512,
        type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=0,
    )  # fmt: skip


_TINY = {**bert(32, 2, 2, vocab=1000), "max_position_embeddings": 128}

FAMILY = Family(
    model_types=("bert",),
    flops=bert_flops,
    segments=2,
    pretraining_fills_masks=True,
    presets=(
        Preset("tiny-bert", "bert", _TINY,
               "BERT made small: ready in a second, for trying things out"),
        Preset("bert-base-uncased", "bert", bert(768, 12, 12),
               "BERT base, 109 M parameters", aliases=("bert-base",)),
        Preset("bert-large-uncased", "bert", bert(1024, 24, 16),
               "BERT large, 335 M parameters", aliases=("bert-large",)),
        Preset("bert-base-multilingual-1024", "bert", bert(1024, 24, 16, vocab=119_547),
               "BERT large with the multilingual vocabulary, 426 M parameters"),
        Preset("minilm-l6", "bert", bert(384, 6, 12),
               "MiniLM, 6 layers of 384, 23 M parameters", aliases=("minilm",)),
    ),
)  # fmt: skip
