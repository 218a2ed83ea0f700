"""BigBird: BERT with sparse attention. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("big_bird",), pretraining_fills_masks=True)
