"""T5 and its kin, whose encoder halves run. Positions are relative. No FLOPs formula."""

from __future__ import annotations

from honed.models.families.base import Family

FAMILY = Family(model_types=("t5", "mt5", "umt5", "longt5"), limits_positions=lambda _: False)
