"""What an encoder holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import BYTES, ModelSizes, Portion, activations
from honed.case import Case


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """The engine reads the file into private memory, embeddings too, and maps nothing."""
    element = BYTES[case.precision]
    size = int(element * (model.matrices + model.tables) + 4 * model.others)
    return (
        Portion("weights", size, f"a copy of each weight in {case.precision}"),
        activations(model, 1.1, 1.0),
    )
