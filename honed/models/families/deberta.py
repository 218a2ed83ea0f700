"""DeBERTa, the first version. No formula for its FLOPs is written here."""

from __future__ import annotations

from honed.models.families.base import Family
from honed.models.families.deberta_v2 import adds_positions

FAMILY = Family(model_types=("deberta",), limits_positions=adds_positions)
