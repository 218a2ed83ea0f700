"""What a torch process holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import BYTES, ModelSizes, Portion, activations, mapped_tables
from honed.case import Case

_ACTIVATIONS = 2.0  # freed blocks that the C library keeps


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """In fp32 weights stay in the mapped checkpoint; every other precision makes copies."""
    fixed = case.precision == "fp32" or case.get("torch.bf16") == "autocast"
    matrices = 4 * (model.matrices + model.others)
    if fixed and case.get("torch.mode") != "aoti":
        cast = 2 * model.matrices if case.precision != "fp32" else 0
        return (
            Portion("weights", matrices, "matrices, mapped", is_mapped=True),
            *mapped_tables(model, 4),
            Portion("activations", cast, "matrices, cast once in a call", "calling"),
            activations(model, _ACTIVATIONS),
        )
    read_once = Portion("weights", matrices, "matrices in the mapped checkpoint, read once",
                        is_mapped=True, is_read=False)  # fmt: skip
    if case.precision in ("int8", "int4"):
        return read_once, *mapped_tables(model, 4), *_quantised(case, model)
    size = int(BYTES[case.precision] * model.parameters)
    tables = Portion("weights", 4 * model.tables, "embeddings in the checkpoint, read once",
                     is_mapped=True, is_read=False)  # fmt: skip
    why = f"a copy of each weight in {case.precision}"
    return read_once, tables, Portion("weights", size, why), activations(model, _ACTIVATIONS)


def _quantised(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """A matrix is rounded, then packed; what this leaves free is too small for other tensors."""
    packed = int(BYTES[case.precision] * model.matrices)
    return (
        Portion("weights", packed, f"matrices, packed in {case.precision}"),
        Portion("loading", int(1.5 * packed), "matrices before they are packed", "loading"),
        activations(model, _ACTIVATIONS),
    )
