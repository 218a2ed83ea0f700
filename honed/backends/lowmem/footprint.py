"""What a process of this engine holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import BYTES, ModelSizes, Portion, activations, biases_and_norms
from honed.backends.lowmem import small
from honed.backends.lowmem.budget import KEEPS_PAGES_BELOW_BYTES
from honed.backends.lowmem.knobs import ENGINE, KEPT, PAGES, STRATEGY, STREAM
from honed.case import Case
from honed.units import size_bytes

_FLOAT_FACTOR, _INT8_FACTOR, _SMALL_FACTOR = 0.85, 1.4, 0.6


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """Pages of the mapped file are given back after their use, so that a layer is resident at
    once. The published strategies copy one part at a time instead."""
    if case.get(STRATEGY.name) not in (None, STREAM):
        return (
            Portion("weights", 4 * model.largest, "the largest part, copied", "calling"),
            activations(model, 2.0, 2.0),  # attention in separate operators
        )
    matrices = int(BYTES[case.precision] * model.matrices)
    mapped = Portion("weights", matrices, "all layers of the mapped file", is_mapped=True)
    if not _keeps_pages(case, matrices):
        layer = matrices // max(1, model.layers)
        mapped = Portion("weights", layer, "one layer of the mapped file", is_mapped=True)
    return (
        mapped,
        biases_and_norms(model),
        _of_call(case, model),
    )


def _keeps_pages(case: Case, matrices_bytes: int) -> bool:
    """Whether the layers stay mapped between calls."""
    if case.get(PAGES.name) is not None:
        return case.get(PAGES.name) == KEPT
    reads = case.get(ENGINE.name) == small.NAME and case.precision != "fp32"
    return not reads and case.memory_budget is None and matrices_bytes <= KEEPS_PAGES_BELOW_BYTES


def _of_call(case: Case, model: ModelSizes) -> Portion:
    if case.memory_budget is not None:
        return Portion("activations", size_bytes(case.memory_budget), "the budget", "calling")
    if case.get(ENGINE.name) == small.NAME:
        return activations(model, _SMALL_FACTOR)
    return activations(model, _INT8_FACTOR if case.precision == "int8" else _FLOAT_FACTOR)
