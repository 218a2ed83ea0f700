"""Which schedule runs a checkpoint, with the task's head and pooling around it."""

from __future__ import annotations

from typing import Any

import torch

from honed.backends.lowmem.knobs import STREAM
from honed.backends.lowmem.layout import EncoderLayout, encoder_layout
from honed.backends.lowmem.mapped import MappedWeights, stored_tensors
from honed.backends.lowmem.modules import ModuleStream
from honed.backends.lowmem.step import Runner, pooled
from honed.backends.lowmem.stream import Chunks, EncoderStream
from honed.backends.lowmem.tensors import WeightTensors
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES
from honed.models.torch.head import Head

_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def runner(checkpoint: Checkpoint, strategy: str, chunks: Chunks | None = None) -> Runner:
    """The runner of a checkpoint: by layers where its computation is described, else by
    modules."""
    stored = stored_tensors(checkpoint.folder)
    layout = encoder_layout(checkpoint, stored) if strategy == STREAM else None
    weights = WeightTensors(MappedWeights(stored), torch.float32)
    chunks = chunks or Chunks()
    if layout is None:
        return ByModules(checkpoint, weights, strategy, chunks)
    return ByLayers(checkpoint, weights, layout, chunks)


class ByLayers:
    """The streaming schedule of an encoder, and its head."""

    streams = "layers"

    def __init__(
        self, checkpoint: Checkpoint, weights: WeightTensors, layout: EncoderLayout, chunks: Chunks
    ) -> None:
        self.checkpoint, self.weights = checkpoint, weights
        self.encoder = EncoderStream(layout, weights, chunks)
        self.weights_bytes = weights.kept_bytes

    @property
    def held_bytes(self) -> int:
        return self.encoder.held_bytes

    def reserve(self, batch: int, length: int) -> None:
        self.encoder.reserve(batch, length)

    def __call__(self, feed: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = self.encoder(*feed)
        task = self.checkpoint.task
        if task == FEATURES:
            return (pooled(hidden, feed[1], self.checkpoint),)
        logits = self.encoder.head(hidden)
        if task == "question-answering":
            return (logits[..., 0], logits[..., 1])
        return (logits,)

    def precision(self) -> str | None:
        types = {_PRECISIONS.get(dtype) for dtype in self.encoder.products}
        return types.pop() if len(types) == 1 else None

    def close(self) -> None:
        self.weights.mapped.close()


class ByModules:
    """The modules of transformers with hooks."""

    streams = "modules"

    def __init__(
        self, checkpoint: Checkpoint, weights: WeightTensors, strategy: str, chunks: Chunks
    ) -> None:
        self.weights = weights
        self.stream = ModuleStream(checkpoint, weights, strategy, chunks.group_rows)
        self._head = Head(self.stream, checkpoint.task, checkpoint.pooling)
        self.weights_bytes = self.stream.kept_bytes

    @property
    def held_bytes(self) -> int:
        return self.stream.kept_bytes

    def reserve(self, batch: int, length: int) -> None:
        """The modules allocate what they need."""

    def __call__(self, feed: tuple[Any, ...]) -> tuple[Any, ...]:
        outputs: tuple[Any, ...] = self._head(*feed)
        return outputs

    def precision(self) -> str | None:
        return _PRECISIONS.get(self.weights.dtype)

    def close(self) -> None:
        self.weights.mapped.close()
