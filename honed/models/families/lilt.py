"""LiLT: RoBERTa with a stream for the layout. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("lilt",), positions_after_padding=True)
