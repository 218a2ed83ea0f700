"""ALBERT: BERT's layers, all with the same weights, behind narrow embeddings."""

from __future__ import annotations

from honed.models.families.base import Family
from honed.models.products import bert_flops

FAMILY = Family(
    model_types=("albert",), flops=bert_flops, segments=2, pretraining_fills_masks=True
)
