"""Shape: sizes that replace those of a named shape, as model.d_model=1024."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.knob import Knob, Span, Value

_OWNER = "model"
# The word that users type, the words of configurations for it, and the help line.
_SIZES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "d_model": (("hidden_size", "dim"), "width of the hidden states"),
    "d_ff": (("intermediate_size", "hidden_dim"), "width inside the feed forward"),
    "num_layers": (("num_hidden_layers", "n_layers"), "layers"),
    "num_heads": (("num_attention_heads", "n_heads"), "attention heads"),
    "vocab_size": (("vocab_size",), "entries of the vocabulary"),
    "context_length": (("max_position_embeddings",), "the longest sequence"),
}
# An entry that follows a size where the named shape has the same number for both.
_ALIKE = {"num_heads": "num_key_value_heads", "d_model": "pooler_hidden_size"}
KNOBS = tuple(
    Knob(f"{_OWNER}.{word}", f"{help}, in place of the named shape's", Span(1, 2**20))
    for word, (_, help) in _SIZES.items()
)


def sizes_of(knobs: Mapping[str, Value]) -> tuple[tuple[str, int], ...]:
    """The sizes that a Case sets, as (d_model, 1024), in a fixed order."""
    typed = ((word, knobs.get(f"{_OWNER}.{word}")) for word in _SIZES)
    return tuple((word, int(value)) for word, value in typed if value is not None)


def changes(config: Mapping[str, Any], word: str, value: int) -> dict[str, int]:
    """The entries of a configuration that hold this size; empty if it has none.

    Where keys and values have as many heads as queries, they keep as many; so does the width of a
    pooler.
    """
    held = [key for key in _SIZES[word][0] if key in config]
    alike = _ALIKE.get(word)
    if alike is not None and alike in config and held and config[alike] == config[held[0]]:
        held.append(alike)
    return dict.fromkeys(held, value)


def read_back(config: Mapping[str, Any], knobs: Mapping[str, Value]) -> dict[str, Value | None]:
    """The sizes that a Case sets, as the checkpoint's config.json holds them."""
    return {
        f"{_OWNER}.{word}": next((config[k] for k in _SIZES[word][0] if k in config), None)
        for word, _ in sizes_of(knobs)
    }
