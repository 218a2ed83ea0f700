"""ModernBERT: gated feed forward, rotary positions, a dense layer before every head."""

from __future__ import annotations

from honed.case import FEATURES
from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import Call, encoder_layer, product, token_head


def _flops(call: Call) -> int:
    """The gate makes the first product of the feed forward twice as wide."""
    gate = product(call.tokens, call.hidden, call.intermediate)
    return call.layers * (encoder_layer(call) + gate) + _head(call)


def _head(call: Call) -> int:
    if call.task == FEATURES:
        return 0
    if call.task == "masked-lm":
        return token_head(call)
    rows = call.batch if call.task == "sequence-classification" else call.tokens
    return product(rows, call.hidden, call.hidden) + product(rows, call.hidden, call.labels)


_BASE = encoder_sizes(
    768, 22, 12, 1152, vocab_size=50_368, max_position_embeddings=8192,
    norm_eps=1e-5, norm_bias=False, attention_bias=False, mlp_bias=False,
    local_attention=128, global_attn_every_n_layers=3, global_rope_theta=160_000.0,
    local_rope_theta=10_000.0, classifier_pooling="mean", decoder_bias=True,
    pad_token_id=50_283, bos_token_id=50_281, cls_token_id=50_281,
    eos_token_id=50_282, sep_token_id=50_282,
)  # fmt: skip

FAMILY = Family(
    model_types=("modernbert",),
    flops=_flops,
    rotates_pairs=True,
    presets=(
        Preset("modernbert-base", "modernbert", _BASE,
               "ModernBERT base, 149 M parameters", aliases=("modernbert",)),
    ),
)  # fmt: skip
