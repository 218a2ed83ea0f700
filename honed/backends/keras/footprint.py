"""What a Keras process holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import ModelSizes, Portion, activations
from honed.case import Case

_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
_ACTIVATIONS = 2.0


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """Variables are private. They are filled from the carried weights, which are in memory as a
    whole meanwhile; int8 begins with variables in fp32."""
    stored = 4 * model.parameters
    narrow = _BYTES[case.precision] * (model.matrices + model.tables)
    held = narrow + (4 if case.precision != "bf16" else 2) * model.others
    first = stored if case.precision != "bf16" else held
    return (
        Portion("weights", held, f"variables in {case.precision}"),
        Portion("loading", stored + first - held, "the file's weights beside them", "loading"),
        activations(model, _ACTIVATIONS, 1.0),
    )
