"""`honed.lowmem(model, engine="small")`: the small engine as a callable, in numpy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from honed.backends.base import LoadRequest
from honed.backends.lowmem.called import CalledModel
from honed.backends.lowmem.small.arithmetic import Floats
from honed.backends.lowmem.small.sizes import Shape
from honed.backends.lowmem.small.step import SmallStep
from honed.case import Case
from honed.models.checkpoint import Checkpoint
from honed.units import size_bytes


class SmallModel(CalledModel):
    """A checkpoint whose weights are read panel by panel, in a process without torch."""

    def __init__(self, checkpoint: Checkpoint, memory_budget: str | None = None) -> None:
        """As many threads as the process may use cores."""
        super().__init__(checkpoint, None if memory_budget is None else size_bytes(memory_budget))
        case = Case(
            model=str(checkpoint.folder), backend="lowmem", batch_size=1,
            sequence_length=_longest(checkpoint), memory_budget=memory_budget,
        )  # fmt: skip
        self._step = SmallStep(LoadRequest(case, checkpoint, None))

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> Mapping[str, Floats]:
        """The outputs by name: `embedding` [batch, hidden], `last_hidden_state` [batch, length,
        hidden] (zeros where padding was), or the logits of the task.

        All inputs are integers [batch, length]. UsageError for others; UnsupportedError if padding
        comes before tokens.
        """
        ids = np.asarray(input_ids)
        batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if attention_mask is not None:
            batch["attention_mask"] = np.asarray(attention_mask)
        if token_type_ids is not None:
            batch["token_type_ids"] = np.asarray(token_type_ids)
        step = self._step
        with self._call(batch):
            parts = [step.outputs(step.run(step.prepare(part))) for part in self._parts(batch)]
            self._warn_of_need(step.needed_bytes)
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _parts(self, batch: Mapping[str, NDArray[Any]]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """The batch in parts of so many sequences that the budget suffices for a part, or of one.
        Each part passes the weights once more."""
        rows, length = batch["input_ids"].shape
        at_once = rows
        while at_once > 1 and self._exceeds_budget(Shape(at_once, length)):
            at_once = -(-at_once // 2)
        for first in range(0, rows, at_once):
            yield {name: array[first : first + at_once] for name, array in batch.items()}

    def _exceeds_budget(self, shape: Shape) -> bool:
        return self._budget_bytes is not None and self._step.needed(shape) > self._budget_bytes

    def _release(self) -> None:
        self._step.close()


def _longest(checkpoint: Checkpoint) -> int:
    """The length that the memory budget has to suffice for: the model's longest, up to 512."""
    return min(512, checkpoint.max_positions or 512)
