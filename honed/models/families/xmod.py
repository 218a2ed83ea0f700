"""X-MOD: RoBERTa with an adapter per language. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("xmod",), positions_after_padding=True)
