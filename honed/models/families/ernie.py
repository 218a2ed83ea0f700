"""ERNIE: BERT's layers and heads."""

from __future__ import annotations

from honed.models.families.base import Family
from honed.models.products import bert_flops

FAMILY = Family(model_types=("ernie",), flops=bert_flops, pretraining_fills_masks=True)
