"""ESM, for proteins: positions begin after the padding id, or are rotary.

No formula for its FLOPs is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.models.families.base import Family


def _absolute(config: Mapping[str, Any]) -> bool:
    return bool(config.get("position_embedding_type", "absolute") == "absolute")


FAMILY = Family(model_types=("esm",), positions_after_padding=True, limits_positions=_absolute)
