"""What a process of this engine holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import BYTES, ModelSizes, Portion, activations, mapped_tables
from honed.backends.lowmem.knobs import STRATEGY, STREAM
from honed.case import Case
from honed.units import size_bytes

_ACTIVATIONS = 1.0


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """Weights stay in the mapped file, whose pages are given back after their use. The published
    strategies load one part at a time instead."""
    if case.memory_budget is not None:
        budget = size_bytes(case.memory_budget)
        kept = Portion("activations", budget, "the budget", "calling")
    else:
        kept = activations(model, _ACTIVATIONS)
    streamed = case.get(STRATEGY.name) in (None, STREAM)
    largest = 0 if streamed else 4 * model.largest
    matrices = int(BYTES[case.precision] * model.matrices)
    return (
        Portion("weights", matrices, "matrices, mapped for as long as a layer runs",
                is_mapped=True),
        *mapped_tables(model, BYTES[case.precision]),
        Portion("activations", largest, "the part that is loaded", "calling"),
        kept,
    )  # fmt: skip
