"""XLNet and Funnel: relative positions. No formula for their FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("xlnet", "funnel"), limits_positions=lambda _: False)
