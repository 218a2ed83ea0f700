"""The memory of a forward pass by formulas alone, for rooms that may not wait for a trace.

A search asks for every setting before it measures it, and a server before it listens. A trace
takes seconds and imports torch; these formulas take microseconds and import nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.backends._footprint import BYTES
from honed.errors import ModelError
from honed.plan import closed_form
from honed.plan.settings import Settings

_ACTIVATIONS = {"bf16": "bfloat16", "fp16": "float16"}  # of other precisions: float32


@dataclass(frozen=True, slots=True)
class Least:
    """The least memory of a forward pass in any engine that computes whole layers in turn.

    `weights_bytes` are weights in fp32 that every call touches; `sequence_elements` the numbers
    that one sequence of a batch needs at the same moment. Both are 0 where they are not known.
    """

    weights_bytes: int = 0
    sequence_elements: int = 0

    def bytes_of(self, precision: str, batch_size: int = 1, instances: int = 1) -> int:
        """The least memory of all instances. Weights count once, because an engine that maps its
        file shares them between instances."""
        each = BYTES[precision]  # an engine may hold wider numbers, but not narrower ones
        weights = self.weights_bytes * each / BYTES["fp32"]
        return int(weights + instances * batch_size * self.sequence_elements * each)


def least(config: Mapping[str, Any], weights_bytes: int, sequence_length: int) -> Least:
    """The least memory of a model with these weights in fp32. `sequence_length` is that of every
    sequence, or 0 where lengths differ. The weights are counted without the word embeddings,
    because an engine that maps its file reads only the rows of its tokens."""
    try:
        rows = closed_form.embedding_elements(config)
        elements = closed_form.least_of_sequence(config, sequence_length)
    except ModelError:  # a configuration in words that the formulas do not know
        return Least()
    return Least(max(0, weights_bytes - int(rows * BYTES["fp32"])), elements)


def call_bytes(
    config: Mapping[str, Any], task: str, precision: str, shape: tuple[int, int]
) -> int | None:
    """The tensors of one call beside the weights, at its peak, as torch would hold them; None
    where the configuration leaves sizes out. `shape` is batch size and length."""
    settings = Settings(
        "infer", *shape, dtype=_ACTIVATIONS.get(precision, "float32"), device="cpu"
    )
    try:
        found = closed_form.estimate(config, task, settings)
    except ModelError:
        return None
    return found.peak_bytes - found.weights_bytes
