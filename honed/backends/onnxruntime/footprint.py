"""What a session holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import (
    BYTES,
    ModelSizes,
    Portion,
    activations,
    biases_and_norms,
    mapped_tables,
    unknown,
)
from honed.backends.onnxruntime import rounding
from honed.backends.onnxruntime.session import ARENA, EXECUTION, PATTERN, PREPACKING
from honed.case import Case

# The arena grows by powers of two and keeps what it has. Integer products keep their inputs in
# both types, and sums in int32. Seen with the knobs at their defaults.
_FLOAT_FACTOR, _SCORES = 1.65, 1.2
_INT8_FACTOR = 2.9


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """The kernels pack matrices into private memory; tables stay in the mapped file."""
    element = BYTES[case.precision]
    matrices = int(element * model.matrices)
    keeps = case.get(PREPACKING.name) == "off"
    is_int8 = case.precision == "int8"
    narrow = is_int8 and case.get(rounding.EMBEDDING.name) != "fp32"
    why = "matrices in the mapped file" if keeps else f"matrices, packed in {case.precision}"
    portions = [
        Portion("weights", matrices, why, is_mapped=keeps),
        biases_and_norms(model),
        *mapped_tables(model, 1 if narrow else 4),
        activations(model, _INT8_FACTOR)
        if is_int8
        else activations(model, _FLOAT_FACTOR, _SCORES),
    ]
    changed = [k.name for k in (ARENA, PATTERN, EXECUTION) if case.get(k.name) is not None]
    if changed:
        portions.append(unknown(f"what {' and '.join(changed)} does to the memory of a call"))
    if case.precision == "int4" or case.get(rounding.INT8.name) == "static":
        portions.append(unknown("the memory of a call with these integer products"))
    return portions
