"""What a Keras process holds of a model, for `honed plan`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends._footprint import ModelSizes, Portion, activations, unknown
from honed.case import Case

_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
# Engine -> over the size of the weights as they are made: what is private once the model is built,
# and the most while it is filled. int8 begins with variables in fp32, and leaves some of them.
_KEPT = {"tensorflow": 1.75, "jax": 1.25}
_LOADING = {"tensorflow": 2.8, "jax": 1.9}
_KEPT_INT8, _LOADING_INT8 = 2.0, 3.5
_SCORES = {"tensorflow": 0.5, "jax": 2.0}
_ACTIVATIONS = 1.8


def footprint(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """Variables are private. They are filled from the carried weights, which are in memory as a
    whole meanwhile."""
    engine = "jax" if case.get("keras.mode") == "jax" else "tensorflow"
    is_int8 = case.precision == "int8"
    first = (2 if case.precision == "bf16" else 4) * model.parameters
    kept = int(first * (_KEPT_INT8 if is_int8 else _KEPT[engine]))
    loading = int(first * (_LOADING_INT8 if is_int8 else _LOADING[engine]))
    held = _BYTES[case.precision] * (model.matrices + model.tables) + 4 * model.others
    portions = [
        Portion("weights", held, f"variables in {case.precision}"),
        Portion("workspace", max(0, kept - held), "what building the model leaves behind"),
        Portion("loading", loading - max(kept, held), "the carried weights beside variables",
                "loading"),
        activations(model, _ACTIVATIONS, _SCORES[engine]),
    ]  # fmt: skip
    if case.get("keras.mode") in ("graph", "xla"):
        portions.append(unknown("what tracing and compiling a large graph takes"))
    return portions
