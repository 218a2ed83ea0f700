"""The sizes of a model and of one call, as backend files ask for them; nothing is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.backends._footprint import ModelSizes
from honed.case import FEATURES, Case
from honed.errors import ModelError
from honed.models.torch.meta import meta_module
from honed.plan import closed_form
from honed.plan.predict import Planner
from honed.plan.settings import Settings
from honed.plan.tracing import Subject

# Modules that multiply by their weight. Conv1D is transformers' linear layer with a transposed
# weight.
_PRODUCTS = ("Linear", "Conv1D")


@dataclass(slots=True)
class Sizer:
    """The sizes of one model, kept for each shape."""

    planner: Planner
    _weights: Mapping[str, int] = field(default_factory=dict)
    _found: dict[tuple[int, int], ModelSizes] = field(default_factory=dict)

    def of(self, case: Case) -> ModelSizes:
        """The sizes for the Case's shape; ModelError for a model that cannot be built."""
        shape = (case.batch_size, case.sequence_length)
        if not self._weights:
            self._weights = _weights(self.planner.subject)
        if shape not in self._found:
            self._found[shape] = self._sizes(*shape)
        return self._found[shape]

    def _sizes(self, batch_size: int, sequence_length: int) -> ModelSizes:
        settings = Settings(batch_size=batch_size, sequence_length=sequence_length, device="cpu")
        prediction = self.planner.predict(settings)
        config = self.planner.subject.config
        return ModelSizes(
            **self._weights,
            layers=_size(config, "layers"),
            heads=_size(config, "heads"),
            batch_size=batch_size,
            sequence_length=sequence_length,
            activation_bytes=prediction.requested_peak_bytes - prediction.weights_bytes,
        )


def _size(config: Mapping[str, Any], word: str) -> int:
    """A size by its word in `closed_form`; 0 where config.json does not have it."""
    try:
        return closed_form.size(config, word)
    except ModelError:
        return 0


def _weights(subject: Subject) -> Mapping[str, int]:
    """The counts of ModelSizes, each parameter once in each of its uses."""
    module = meta_module(subject.model, subject.task)
    unused = "pooler." if subject.task == FEATURES else None
    uses: dict[str, dict[int, int]] = {"matrices": {}, "tables": {}, "others": {}, "unused": {}}
    for path, part in module.named_modules():
        for name, weight in part.named_parameters(recurse=False):
            is_unused = unused is not None and f"{path}.{name}".startswith(unused)
            use = "unused" if is_unused else _use(part, name)
            uses[use][id(weight)] = int(weight.numel())
    matrices, tables = uses["matrices"], uses["tables"]
    counts = {use: sum(of_use.values()) for use, of_use in uses.items()}
    behind = sum(each.products * each.inputs * each.outputs for each in subject.layers)
    return counts | {
        "others": counts["others"] + behind,
        "tied": sum(size for key, size in tables.items() if key in matrices),
        "largest": max([*matrices.values(), *tables.values()], default=0),
    }


def _use(part: Any, name: str) -> str:
    kind = type(part).__name__
    if name == "weight" and kind.endswith(_PRODUCTS):
        return "matrices"
    return "tables" if name == "weight" and kind.endswith("Embedding") else "others"
