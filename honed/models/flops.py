"""Floating-point operations of one forward pass, in closed form from config.json.

Every matrix product counts: projections, attention scores and values, feed forward, pooler and
head. Left out, well under 1 % together: embedding look-ups, normalisation, softmax, activations,
biases, residuals, rotary embeddings. Attention counts in full, causal masks and local windows
included, because the implementations here compute it in full and mask it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honed.models.families import family_of
from honed.models.products import Call, product
from honed.models.sentence_modules import VectorLayer


def forward_flops(
    config: Mapping[str, Any], batch_size: int, sequence_length: int, task: str,
    layers: Sequence[VectorLayer] = (),
) -> int | None:  # fmt: skip
    """None for a family without a formula, or a configuration that leaves sizes out. `layers` are
    those behind the pooling."""
    flops = family_of(str(config.get("model_type"))).flops
    if flops is None:
        return None
    try:
        body = flops(Call(batch_size, sequence_length, config, task))
    except KeyError:
        return None
    behind = (each.products * product(batch_size, each.inputs, each.outputs) for each in layers)
    return body + sum(behind)
