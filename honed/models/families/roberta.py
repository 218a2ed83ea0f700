"""RoBERTa and its copies: BERT's layers, with positions that begin after the padding id."""

from __future__ import annotations

from typing import Any

from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import bert_flops


def _roberta(vocab: int) -> dict[str, Any]:
    return encoder_sizes(
        768, 12, 12, 3072, vocab_size=vocab,
        max_position_embeddings=514,  # positions start after the padding id, so 512 tokens
        type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip


FAMILY = Family(
    model_types=("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "ibert",
                 "roberta-prelayernorm"),
    flops=bert_flops,
    positions_after_padding=True,
    presets=(
        Preset("roberta-base", "roberta", _roberta(50_265),
               "RoBERTa base, 125 M parameters", aliases=("roberta",)),
        Preset("xlm-roberta-base", "xlm-roberta", _roberta(250_002),
               "XLM-RoBERTa base, 278 M parameters", aliases=("xlm-roberta",)),
    ),
)  # fmt: skip
