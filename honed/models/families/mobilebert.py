"""MobileBERT: BERT with bottlenecks. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("mobilebert",), segments=2, pretraining_fills_masks=True)
