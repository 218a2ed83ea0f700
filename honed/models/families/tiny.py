"""The fake model, which needs nothing but numpy."""

from __future__ import annotations

from honed.models.families.base import Family, Preset

FAMILY = Family(
    model_types=("tiny",),
    presets=(Preset("tiny", "tiny", {}, "no framework needed: what the fake backend runs"),),
)
