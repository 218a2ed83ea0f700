"""The Step of backend=lowmem with torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from honed.backends._torch import TensorStep, allocator_peak
from honed.backends.base import Batch, LoadRequest
from honed.backends.lowmem.knobs import ENGINE, KEPT, PAGES, RELEASED, STRATEGY
from honed.knob import Value


class Runner(Protocol):
    """A streaming model of one task. `streams` is "layers", or "modules" for hooks around the
    modules of transformers."""

    streams: str
    weights_bytes: int

    @property
    def needed_bytes(self) -> int | None:
        """What the largest call so far adds by plan: tensors and mapped pages; None if no plan
        says it."""

    @property
    def keeps_pages(self) -> bool:
        """Whether pages of weights stay mapped after the last call."""

    @property
    def held_bytes(self) -> int:
        """Weights and buffers that stay in memory between calls."""

    def reserve(self, batch: int, length: int) -> None:
        """Make room for batches of this shape."""

    def __call__(self, feed: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs of the task, in the order of `output_names`."""

    def precision(self) -> str | None:
        """Of the products of the last call."""

    def close(self) -> None: ...


class LowmemStep(TensorStep):
    """A streaming runner. `weights_bytes` are those of the weights that stay in memory between
    calls: all others are in the page cache, where they are nobody's."""

    def __init__(self, request: LoadRequest, runner: Runner) -> None:
        super().__init__(request)
        self.runner, self.call = runner, runner
        self.weights_bytes = runner.weights_bytes
        self._strategy = str(request.case.get(STRATEGY.name) or "stream")

    def prepare(self, batch: Batch) -> tuple[Any, ...]:
        rows, length = batch["input_ids"].shape
        self.runner.reserve(rows, length)
        return self.tensors(batch)

    def tensor_peak_bytes(self, feed: Any) -> int:
        """What is held, the inputs, and the most that the allocator had given out at once. Pages
        of the mapped files are no tensors of this process; the record's file bytes count them."""
        inputs = sum(int(tensor.nbytes) for tensor in feed)
        return self.runner.held_bytes + inputs + allocator_peak(self.run, feed)

    def read_back(self) -> Mapping[str, Value | None]:
        return {
            **super().read_back(),
            "precision": self.runner.precision(),
            "streams": self.runner.streams,
            "memory_needed_bytes": self.runner.needed_bytes,
            ENGINE.name: "torch",
            STRATEGY.name: self._strategy,
            PAGES.name: KEPT if self.runner.keeps_pages else RELEASED,
        }

    def close(self) -> None:
        super().close()
        self.runner.close()
