"""ELECTRA: BERT's layers behind narrow embeddings, without a pooler.

Its ...ForPreTraining head is a discriminator, so it fills no masks.
"""

from __future__ import annotations

from honed.models.families.base import Family, Preset
from honed.models.families.bert import bert
from honed.models.products import flops_without_pooler

FAMILY = Family(
    model_types=("electra",),
    flops=flops_without_pooler,
    segments=2,
    presets=(
        Preset("electra-small", "electra", {**bert(256, 12, 4), "embedding_size": 128},
               "ELECTRA small, the discriminator, 14 M parameters", aliases=("electra",)),
    ),
)  # fmt: skip
