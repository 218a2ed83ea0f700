"""What a compiled model holds, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import (
    BYTES,
    ModelSizes,
    Portion,
    activations,
    biases_and_norms,
    mapped_tables,
    read_once,
    unknown,
)
from honed.case import Case

# The packed matrices over their plain size. An integer matrix needs sums of its columns, and some
# stay in a second layout.
_PACKED = {"fp32": 1.05, "bf16": 1.05, "int8": 1.45, "int4": 1.2}
_FLOAT_FACTOR, _INT8_FACTOR = 1.65, 1.0


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """The plugin packs matrices into private memory, some of them in the first call, and reads
    the whole mapped file for that. The tables of an int8 graph it widens to fp32 once, in two
    steps."""
    matrices = int(_PACKED[case.precision] * BYTES[case.precision] * model.matrices)
    is_int8 = case.precision == "int8"
    stored = int((1.0 if is_int8 else 4.0) * model.matrices)
    common = (
        Portion("weights", matrices, f"matrices, packed in {case.precision}"),
        biases_and_norms(model),
        read_once(stored, "matrices"),
    )
    if not is_int8:
        seen = (
            () if case.precision == "fp32" else (unknown(f"packed matrices in {case.precision}"),)
        )
        return *common, *mapped_tables(model, 4), activations(model, _FLOAT_FACTOR), *seen
    widened = 4 * model.tables
    return (
        *common,
        Portion("weights", widened, "embeddings, widened to fp32"),
        read_once(model.tables, "embeddings"),
        Portion("loading", max(0, widened - matrices), "embeddings, between int8 and fp32",
                "loading"),
        activations(model, _INT8_FACTOR),
    )  # fmt: skip
