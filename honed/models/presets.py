"""The named shapes of every family, by name and by alias."""

from __future__ import annotations

from honed.models.families import all_families
from honed.models.families.base import Preset as Preset

PRESETS: dict[str, Preset] = {p.name: p for f in all_families().values() for p in f.presets}
ALIASES: dict[str, str] = {alias: p.name for p in PRESETS.values() for alias in p.aliases}


def preset(name: str) -> Preset | None:
    """The shape with this name or alias, in upper or lower case."""
    lower = name.lower()
    return PRESETS.get(ALIASES.get(lower, lower))


def known_names() -> tuple[str, ...]:
    """Every word that names a shape, aliases included."""
    return (*PRESETS, *ALIASES)
