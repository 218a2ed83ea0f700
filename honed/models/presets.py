"""The named shapes of every family, by name and by alias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from honed.errors import ModelError
from honed.models.families import all_families
from honed.models.families.base import Preset as Preset
from honed.models.knobs import shape

PRESETS: dict[str, Preset] = {p.name: p for f in all_families().values() for p in f.presets}
ALIASES: dict[str, str] = {alias: p.name for p in PRESETS.values() for alias in p.aliases}


def preset(name: str) -> Preset | None:
    """The shape with this name or alias, in upper or lower case."""
    lower = name.lower()
    return PRESETS.get(ALIASES.get(lower, lower))


def resized(base: Preset, sizes: Sequence[tuple[str, int]]) -> Preset:
    """The shape with other sizes; ModelError for a size that it does not have, or for a width that
    its heads cannot share."""
    config: dict[str, Any] = dict(base.config)
    for word, value in sizes:
        held = shape.changes(base.config, word, value)
        if not held:
            raise ModelError(f"{base.name} has no {word}", f"leave model.{word} out")
        config |= held
    width, heads = (
        next((config[k] for k in keys if k in config), None)
        for keys in (("hidden_size", "dim"), ("num_attention_heads", "n_heads"))
    )
    if width and heads and "head_dim" not in config and width % heads:
        raise ModelError(
            f"{heads} heads cannot share a width of {width} evenly",
            f"model.num_heads={max(n for n in range(1, heads) if width % n == 0)}",
        )
    return replace(base, config=config)


def known_names() -> tuple[str, ...]:
    """Every word that names a shape, aliases included."""
    return (*PRESETS, *ALIASES)
