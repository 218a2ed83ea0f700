"""What a torch process holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import (
    BYTES,
    ModelSizes,
    Portion,
    activations,
    mapped_tables,
    read_once,
    unknown,
)
from honed.case import Case

# The C library keeps blocks that torch has freed. Tensors of 16 bits are half as large.
_FLOAT_FACTOR, _HALF_FACTOR, _QUANTISED_FACTOR = 2.0, 1.1, 1.3


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """In fp32 weights stay in the mapped checkpoint; every other precision makes copies."""
    matrices = 4 * (model.matrices + model.others)
    mode = str(case.get("torch.mode") or "eager")
    notes = () if mode == "eager" else (unknown(_NOTES[mode]),)
    if case.precision == "fp32" or case.get("torch.bf16") == "autocast":
        cast = 0 if case.precision == "fp32" else 2 * model.matrices
        return (
            Portion("weights", matrices, "matrices, mapped", is_mapped=True),
            *mapped_tables(model, 4),
            Portion("activations", cast, "matrices, cast once in a call", "calling"),
            activations(model, _FLOAT_FACTOR),
            *notes,
        )
    if case.precision in ("int8", "int4"):
        stored = read_once(matrices, "matrices")
        return stored, *mapped_tables(model, 4), *_quantised(case, model), *notes
    size = int(BYTES[case.precision] * (model.parameters + model.unused))
    return (
        Portion("weights", size, f"a copy of each weight in {case.precision}"),
        activations(model, _HALF_FACTOR),
        *notes,
    )


_NOTES = {
    "compile": "the compilers that torch.compile starts in its first call, as processes",
    "aoti": "whether AOTInductor's library maps its weights or copies them",
    "torchscript": "what freezing a traced graph copies",
}


def _quantised(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """A matrix is rounded, then packed. The C library keeps what this leaves; the tensors of calls
    find room in a part of it."""
    packed = int(BYTES[case.precision] * model.matrices)
    portions = [
        Portion("weights", packed, f"matrices, packed in {case.precision}"),
        Portion("workspace", int(1.5 * packed), "what rounding and packing leave behind"),
        activations(model, _QUANTISED_FACTOR),
    ]
    if case.precision == "int4" or case.get("torch.int8") not in (None, "dynamic"):
        portions.append(unknown("how this kind of quantised layer holds its weights"))
    return portions
