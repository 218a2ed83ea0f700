"""MPNet: BERT's layers with a shared relative position bias, and RoBERTa's positions."""

from __future__ import annotations

from honed.models.families.base import Family
from honed.models.products import bert_flops

FAMILY = Family(model_types=("mpnet",), flops=bert_flops, positions_after_padding=True)
