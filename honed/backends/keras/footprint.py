"""What a Keras process holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import ModelSizes, Portion, activations
from honed.case import Case

_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
# Over the size of the weights: what Keras keeps beside its variables once it has built the model,
# and the most while it fills them.
_KEPT, _LOADING = 1.75, 2.8
_ACTIVATIONS, _SCORES = 1.8, 0.5


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """Variables are private. They are made in fp32 (with bf16 in bf16) and filled from the carried
    weights, which are in memory as a whole meanwhile; int8 rounds them afterwards."""
    narrow = _BYTES[case.precision]
    first = (2 if case.precision == "bf16" else 4) * model.parameters
    held = narrow * (model.matrices + model.tables) + 4 * model.others
    kept = int((_KEPT - 1) * first)
    return (
        Portion("weights", held, f"variables in {case.precision}"),
        Portion("workspace", kept, "what building the model leaves behind"),
        Portion("loading", max(0, int(_LOADING * first) - held - kept),
                "the carried weights, and variables before they are filled", "loading"),
        activations(model, _ACTIVATIONS, _SCORES),
    )  # fmt: skip
