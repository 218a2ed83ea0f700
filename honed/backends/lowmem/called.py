"""What the callables of both engines share: one call at a time, checked inputs, and an end."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from honed.errors import UsageError
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.units import size


class CalledModel:
    """A checkpoint that user code calls. Close it, or use it in a with block.

    Calls from several threads take turns, because they share one set of buffers.
    """

    def __init__(self, checkpoint: Checkpoint, budget_bytes: int | None) -> None:
        self._checkpoint, self._budget_bytes = checkpoint, budget_bytes
        self._turn = threading.Lock()
        self._is_closed = False
        self._warned = False

    @contextmanager
    def _call(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[None]:
        """One call. UsageError if the model was closed, or cannot look up the inputs."""
        check_inputs(inputs, self._checkpoint)
        with self._turn:
            if self._is_closed:
                raise UsageError(
                    "this model was closed", "call it before close(), or inside its with block"
                )
            yield

    def _warn_of_need(self, needed_bytes: int | None) -> None:
        """Warn, once, if a call needs more than the budget although it uses the smallest sizes."""
        if self._budget_bytes is None or needed_bytes is None or self._warned:
            return
        if needed_bytes > self._budget_bytes:
            self._warned = True
            warnings.warn(
                f"memory_budget={size(self._budget_bytes)} is less than the {size(needed_bytes)} "
                "that the smallest sizes need; they are used",
                stacklevel=3,
            )

    def close(self) -> None:
        """Give back the files and the memory. Closing twice does no harm."""
        with self._turn:
            if not self._is_closed:
                self._is_closed = True
                self._release()

    def _release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_inputs(inputs: Mapping[str, NDArray[Any]], checkpoint: Checkpoint) -> None:
    """UsageError unless all inputs are integers [batch, length] that the model can look up."""
    ids = inputs["input_ids"]
    for name, array in inputs.items():
        if not np.issubdtype(array.dtype, np.integer) and array.dtype != np.bool_:
            raise UsageError(
                f"{name} has the type {array.dtype}", "give integers, as the tokenizer does"
            )
        if array.ndim != 2 or not array.size:
            raise UsageError(
                f"{name} has the shape {list(array.shape)}",
                "give [batch, length], with one sequence and one token at least",
            )
        if array.shape != ids.shape:
            raise UsageError(
                f"{name} has the shape {list(array.shape)}, input_ids {list(ids.shape)}",
                "give both the same shape",
            )
    longest = checkpoint.max_positions
    if longest is not None and ids.shape[1] > longest:
        raise UsageError(
            f"a sequence of {ids.shape[1]} tokens is longer than the {longest} of the model",
            "cut it, as the tokenizer does with truncation=True",
        )
    _check_range("input_ids", ids, checkpoint.vocab_size)
    if "token_type_ids" in inputs:
        takes = "token_type_ids" in input_names(checkpoint)
        kinds = int(checkpoint.config.get("type_vocab_size", 2)) if takes else 1
        _check_range("token_type_ids", inputs["token_type_ids"], kinds)


def _check_range(name: str, array: NDArray[Any], count: int) -> None:
    least, most = int(array.min()), int(array.max())
    if least < 0 or most >= count:
        raise UsageError(
            f"{name} holds {least if least < 0 else most}, and this model has 0 to {count - 1}",
            "use the tokenizer of the same checkpoint",
        )
