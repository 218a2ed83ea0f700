"""The named shapes of every family, by name and by alias."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    _check_heads(base, config)
    return replace(base, config=_with_ids_inside(config))


def _check_heads(base: Preset, config: Mapping[str, Any]) -> None:
    """ModelError for a width that the heads of the shape cannot share."""
    width, heads = (
        next((config[k] for k in keys if k in config), None)
        for keys in (("hidden_size", "dim"), ("num_attention_heads", "n_heads"))
    )
    if not width or not heads or "head_dim" in config:
        return
    if width % heads:
        raise ModelError(
            f"{heads} heads cannot share a width of {width} evenly",
            f"model.num_heads={max(n for n in range(1, heads) if width % n == 0)}",
        )
    family = next(f for f in all_families().values() if base.model_type in f.model_types)
    if family.rotates_pairs and width // heads % 2:
        raise ModelError(
            f"{heads} heads of a width of {width} are {width // heads} wide each, and rotary "
            "positions turn pairs of numbers",
            f"model.d_model={2 * heads * math.ceil(width / heads / 2)}",
        )


def _with_ids_inside(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with its special tokens inside the vocabulary, which may have shrunk."""
    size = config.get("vocab_size")
    ids = {k: v for k, v in config.items() if k.endswith("_token_id") and isinstance(v, int)}
    return config if size is None else config | {k: v % size for k, v in ids.items()}


def known_names() -> tuple[str, ...]:
    """Every word that names a shape, aliases included."""
    return (*PRESETS, *ALIASES)
