"""What a compiled model holds, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import BYTES, ModelSizes, Portion, activations, mapped_tables
from honed.case import Case

_FLOAT_FACTOR, _INT8_FACTOR = 1.8, 0.9


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """The plugin packs matrices into private memory, and reads the whole mapped file for that. The
    tables of an int8 graph it widens to fp32 once, in two steps."""
    element = BYTES[case.precision]
    is_int8 = case.precision == "int8"
    matrices = int(element * model.matrices)
    packed = Portion("weights", matrices, f"matrices, packed in {case.precision}")
    others = Portion("weights", 4 * model.others, "biases and norms")
    stored = int((1.0 if is_int8 else 4.0) * model.matrices)
    file = Portion("weights", stored, "matrices in the mapped file, read once",
                   is_mapped=True, is_read=False)  # fmt: skip
    if not is_int8:
        return packed, others, file, *mapped_tables(model, 4), activations(model, _FLOAT_FACTOR)
    widened = 4 * model.tables
    return (
        packed, others, file,
        Portion("weights", widened, "embeddings, widened to fp32"),
        Portion("weights", model.tables, "embeddings in the mapped file, read once",
                is_mapped=True, is_read=False),
        Portion("loading", max(0, widened - matrices), "embeddings, between int8 and fp32",
                "loading"),
        activations(model, _INT8_FACTOR),
    )  # fmt: skip
