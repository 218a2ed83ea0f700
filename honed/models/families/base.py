"""What a family of models declares: the facts that a config.json leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from honed.models.products import Call


@dataclass(frozen=True, slots=True)
class Preset:
    """A named shape: a published configuration that random weights are made from.

    `config` holds the keyword arguments of the model type's configuration class. `pooling` is the
    one of the default task.
    """

    name: str
    model_type: str
    config: Mapping[str, Any]
    help: str
    default_task: str = "feature-extraction"
    pooling: str = "mean"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that are computed alike.

    - `model_types`: the values of config.json's `model_type` that belong to the family.
    - `flops`: the FLOPs of one forward pass; None where no formula is known.
    - `segments`: how many kinds of token types there are where config.json has no type_vocab_size.
    - `positions_after_padding`: positions are counted from the padding id + 1, so the first rows
      of the position embeddings are never used.
    - `rotates_pairs`: positions turn pairs of numbers of each head, so a head has an even width.
    - `limits_positions`: whether a model of this configuration has a longest sequence; relative
      positions have none.
    - `pretraining_fills_masks`: a ...ForPreTraining checkpoint has a masked-language head.
    - `presets`: the named shapes of the family.
    """

    model_types: tuple[str, ...] = ()
    flops: Callable[[Call], int] | None = None
    segments: int = 0
    positions_after_padding: bool = False
    rotates_pairs: bool = False
    limits_positions: Callable[[Mapping[str, Any]], bool] = lambda _: True
    pretraining_fills_masks: bool = False
    presets: tuple[Preset, ...] = field(default=())


class FamilyFile(Protocol):
    """What each file in this folder defines."""

    FAMILY: Family


def encoder_sizes(
    hidden: int, layers: int, heads: int, intermediate: int, **more: Any
) -> dict[str, Any]:
    """The four sizes of an encoder in the words that most configurations use."""
    return {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": intermediate, **more}  # fmt: skip
