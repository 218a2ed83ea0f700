"""MarkupLM: RoBERTa with paths in a page. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("markuplm",), positions_after_padding=True)
