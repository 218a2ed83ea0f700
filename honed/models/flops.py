"""Floating-point operations of one forward pass, in closed form from config.json.

Every matrix product counts: projections, attention scores and values, feed forward, pooler and
head. Left out, well under 1 % together: embedding look-ups, normalisation, softmax, activations,
biases, residuals, rotary embeddings. Attention counts in full, causal masks and local windows
included, because the implementations here compute it in full and mask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.models.families import family_of
from honed.models.products import Call


def forward_flops(
    config: Mapping[str, Any], batch_size: int, sequence_length: int, task: str
) -> int | None:
    """None for a family without a formula, or a configuration that leaves sizes out."""
    flops = family_of(str(config.get("model_type"))).flops
    if flops is None:
        return None
    try:
        return flops(Call(batch_size, sequence_length, config, task))
    except KeyError:
        return None
