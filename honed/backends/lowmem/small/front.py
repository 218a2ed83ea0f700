"""`honed.lowmem(model, engine="small")`: the small engine as a callable, in numpy alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from honed.backends.base import LoadRequest
from honed.backends.lowmem.small.arithmetic import Floats
from honed.backends.lowmem.small.reader import Ids
from honed.backends.lowmem.small.step import SmallStep
from honed.case import Case
from honed.models.checkpoint import Checkpoint


class SmallModel:
    """A checkpoint whose weights are read panel by panel, in a process without torch.

    Calls from several threads take turns, because they share the engine's threads and arrays.
    Close it, or use it in a with block.
    """

    def __init__(self, checkpoint: Checkpoint, memory_budget: str | None = None) -> None:
        """As many threads as the process may use cores."""
        case = Case(
            model=str(checkpoint.folder), backend="lowmem", batch_size=1,
            sequence_length=_longest(checkpoint), memory_budget=memory_budget,
        )  # fmt: skip
        self._step = SmallStep(LoadRequest(case, checkpoint, None))
        self._turn = threading.Lock()

    def __call__(
        self,
        input_ids: Ids,
        attention_mask: Ids | None = None,
        token_type_ids: Ids | None = None,
    ) -> Mapping[str, Floats]:
        """The outputs by name: `embedding` [batch, hidden], `last_hidden_state` [batch, length,
        hidden] (zeros where padding was), or the logits of the task.

        All inputs are integers [batch, length]. UnsupportedError if padding comes before tokens.
        """
        ids = np.asarray(input_ids)
        batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if attention_mask is not None:
            batch["attention_mask"] = np.asarray(attention_mask)
        if token_type_ids is not None:
            batch["token_type_ids"] = np.asarray(token_type_ids)
        with self._turn:
            raw = self._step.run(self._step.prepare(batch))
            return {name: np.array(array) for name, array in self._step.outputs(raw).items()}

    def close(self) -> None:
        """Close the files of the weights and end the threads."""
        self._step.close()

    def __enter__(self) -> SmallModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _longest(checkpoint: Checkpoint) -> int:
    """The length that the memory budget has to suffice for: the model's longest, up to 512."""
    return min(512, checkpoint.max_positions or 512)
