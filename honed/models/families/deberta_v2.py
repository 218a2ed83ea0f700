"""DeBERTa v2 and v3: attention also compares content with relative positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import Call, flops_without_pooler, product


def _flops(call: Call) -> int:
    total = flops_without_pooler(call)
    if call.config.get("relative_attention"):
        total += call.layers * _relative_attention(call)
    kernel = int(call.config.get("conv_kernel_size") or 0)
    groups = int(call.config.get("conv_groups") or 1)
    return total + product(call.tokens, call.hidden * kernel // groups, call.hidden)


def _relative_attention(call: Call) -> int:
    """Content against a table of relative positions, in one layer."""
    config, hidden = call.config, call.hidden
    kinds = config.get("pos_att_type") or ()
    kinds = kinds.split("|") if isinstance(kinds, str) else kinds
    reach = int(config.get("max_relative_positions", -1))
    buckets = int(config.get("position_buckets", -1))
    span = buckets if buckets > 0 else reach if reach > 0 else config["max_position_embeddings"]
    rows = 2 * int(span)  # one table row per distance, both ways
    used = sum(kind in kinds for kind in ("c2p", "p2c"))
    # With shared projections both are computed, used or not; once for the whole batch.
    projected = 2 if config.get("share_att_key") else used
    table = projected * product(rows, hidden, hidden)
    return table + used * call.batch * product(call.length, hidden, rows)


def adds_positions(config: Mapping[str, Any]) -> bool:
    """Whether learned positions are added to the words: only they have a longest length."""
    return bool(config.get("position_biased_input", True))


_V3_SMALL = encoder_sizes(
    768, 6, 12, 3072, vocab_size=128_100, max_position_embeddings=512,
    type_vocab_size=0, layer_norm_eps=1e-7, pad_token_id=0, relative_attention=True,
    max_relative_positions=-1, position_buckets=256, position_biased_input=False,
    pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm",
    pooler_hidden_size=768, pooler_hidden_act="gelu", pooler_dropout=0,
)  # fmt: skip

FAMILY = Family(
    model_types=("deberta-v2",),
    flops=_flops,
    limits_positions=adds_positions,
    presets=(
        Preset("deberta-v3-small", "deberta-v2", _V3_SMALL,
               "DeBERTa-v3 small, 141 M parameters (98 M of them embeddings)",
               aliases=("deberta-v3",)),
    ),
)  # fmt: skip
