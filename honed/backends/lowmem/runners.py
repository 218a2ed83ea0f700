"""Which schedule runs a checkpoint, with the task's head and pooling around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from honed.backends.base import precision_of_most
from honed.backends.lowmem.budget import KEEPS_PAGES_BELOW_BYTES, Chunks, Plan, Shape, need, plan
from honed.backends.lowmem.checkpoint_layout import encoder_layout
from honed.backends.lowmem.knobs import STREAM
from honed.backends.lowmem.layout import EncoderLayout
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.modules import ModuleStream
from honed.backends.lowmem.stored import stored_tensors
from honed.backends.lowmem.stream import EncoderStream
from honed.backends.lowmem.tensors import WeightTensors
from honed.machine import isa
from honed.machine.facts import cpu_flags
from honed.models.checkpoint import Checkpoint
from honed.models.heads import output_names
from honed.models.tasks import FEATURES
from honed.models.torch.head import Head

_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a checkpoint is to be streamed. `chunks` overrules `budget_bytes`; without both, the
    fastest chunks are taken."""

    strategy: str = STREAM
    precision: str = "fp32"
    folder: Path | None = None  # of converted weights, in place of the checkpoint's
    budget_bytes: int | None = None
    chunks: Chunks | None = None
    keeps_pages: bool | None = None  # mapped, between calls; with None the plan decides


def runner(checkpoint: Checkpoint, options: StreamOptions) -> ByLayers | ByModules:
    """The runner of a checkpoint: by layers where its computation is described, else by
    modules."""
    stored = stored_tensors(options.folder or checkpoint.folder)
    layout = encoder_layout(checkpoint, stored) if options.strategy == STREAM else None
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    mapped = MappedWeights(stored, keeps_pages=bool(options.keeps_pages))
    weights = WeightTensors(mapped, dtype)
    try:
        if layout is None:
            return ByModules(checkpoint, weights, options)
        return ByLayers(checkpoint, weights, layout, options)
    except BaseException:
        weights.close()
        raise


class ByLayers:
    """The streaming schedule of an encoder, and its head."""

    streams = "layers"

    def __init__(
        self,
        checkpoint: Checkpoint,
        weights: WeightTensors,
        layout: EncoderLayout,
        options: StreamOptions,
    ) -> None:
        self.checkpoint, self.weights, self.layout = checkpoint, weights, layout
        self.encoder = EncoderStream(layout, weights)
        self._head = Head.of(None, checkpoint).to(weights.dtype)
        self.weights_bytes = weights.kept_bytes
        self._options = options
        self._plans: dict[Shape, Plan] = {}
        is_bf16 = weights.dtype == torch.bfloat16
        self._products_in_fp32 = is_bf16 and isa.native_by("bf16", cpu_flags()) is None

    @property
    def keeps_pages(self) -> bool:
        return self.weights.mapped.keeps_pages

    @property
    def held_bytes(self) -> int:
        return self.encoder.held_bytes

    @property
    def needed_bytes(self) -> int | None:
        """What a call adds by plan, the kept vectors included."""
        totals = [made.need.total_bytes for made in self._plans.values()]
        return max(totals) + self.weights_bytes if totals else None

    def plan(self, shape: Shape) -> Plan:
        """The chunks for calls of this shape."""
        if shape not in self._plans:
            stored, chunks = self.weights.mapped.stored, self._options.chunks
            budget = self._options.budget_bytes
            if chunks is not None:
                self._plans[shape] = Plan(chunks, need(self.layout, stored, chunks, shape), True)
            else:
                spent = None if budget is None else budget - self.weights_bytes
                keeps = self._options.keeps_pages
                self._plans[shape] = plan(self.layout, stored, shape, spent, keeps_pages=keeps)
        return self._plans[shape]

    def _shape(self, batch: int, length: int, *, unpooled: bool = False) -> Shape:
        """`unpooled`: the hidden states are returned whatever the pooling of the checkpoint."""
        no_pooling = unpooled or self._head.pooling is None
        returns_states = self.checkpoint.task == FEATURES and no_pooling
        element_bytes = int(self.weights.dtype.itemsize)
        return Shape(batch, length, element_bytes, returns_states, self._products_in_fp32)

    def reserve(self, batch: int, length: int) -> None:
        shape = self._shape(batch, length)
        self.encoder.reserve(self.plan(shape).chunks, shape)

    def __call__(self, feed: tuple[Any, ...]) -> tuple[Any, ...]:
        batch, length = feed[0].shape
        chunks = self.plan(self._shape(batch, length)).chunks
        at_once = chunks.sequences or batch
        if at_once >= batch:
            return self._outputs(feed, chunks)
        parts = [
            self._outputs(tuple(t[first : first + at_once] for t in feed), chunks)
            for first in range(0, batch, at_once)
        ]
        return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))

    def named_outputs(self, named: dict[str, Any]) -> Mapping[str, Any]:
        """What the model of transformers returns, by name."""
        feed = tuple(named.values())
        if self.checkpoint.task != FEATURES:
            return dict(zip(output_names(self.checkpoint.task, "none"), self(feed), strict=True))
        # A plan of hidden states never splits the batch: to join the parts would need more.
        hidden = self.encoder(self.plan(self._shape(*feed[0].shape, unpooled=True)).chunks, *feed)
        vector = self.encoder.pooler(hidden)
        found = {"last_hidden_state": hidden, "pooler_output": vector}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def _outputs(self, feed: tuple[Any, ...], chunks: Chunks) -> tuple[Any, ...]:
        hidden = self.encoder(chunks, *feed)
        task = self.checkpoint.task
        if task == FEATURES:
            return (self._vectors(hidden, feed[1]),)
        logits = self.encoder.head(hidden)
        if task == "question-answering":
            return (logits[..., 0], logits[..., 1])
        return (logits,)

    def _vectors(self, hidden: Any, mask: Any) -> Any:
        """Hidden states [batch, length, hidden] -> what the checkpoint's pooling makes of them.
        Sequence by sequence, because a pooling copies its input."""
        if self._head.pooling is None:
            return hidden
        rows = range(len(hidden))
        pooled = [self._head.pooling(hidden[i : i + 1], mask[i : i + 1]) for i in rows]
        return self._head.layers(torch.cat(pooled))

    def precision(self) -> str | None:
        return precision_of_most(self.encoder.products.counts.elements())

    def close(self) -> None:
        self.weights.close()


class ByModules:
    """The modules of transformers with hooks."""

    streams = "modules"

    def __init__(
        self, checkpoint: Checkpoint, weights: WeightTensors, options: StreamOptions
    ) -> None:
        self.weights = weights
        # Within any budget, one sequence at a time needs least.
        chunks = options.chunks or (
            Chunks() if options.budget_bytes is None else Chunks(group_rows=1)
        )
        self.stream = ModuleStream(checkpoint, weights, options.strategy, chunks.group_rows)
        if (
            options.keeps_pages is None
            and options.strategy == STREAM
            and options.budget_bytes is None
        ):
            weights.mapped.keeps_pages = self.stream.matrices_bytes <= KEEPS_PAGES_BELOW_BYTES
        self._head = Head.of(self.stream, checkpoint).to(weights.dtype)
        self.weights_bytes = self.stream.kept_bytes

    needed_bytes: int | None = None  # no plan says what the modules allocate

    @property
    def keeps_pages(self) -> bool:
        return self.weights.mapped.keeps_pages

    @property
    def held_bytes(self) -> int:
        return self.stream.kept_bytes

    def reserve(self, batch: int, length: int) -> None:
        """The modules allocate what they need."""

    def __call__(self, feed: tuple[Any, ...]) -> tuple[Any, ...]:
        outputs: tuple[Any, ...] = self._head(*feed)
        return outputs

    def named_outputs(self, named: dict[str, Any]) -> Mapping[str, Any]:
        """What the model of transformers returns."""
        outputs: Mapping[str, Any] = self.stream(**named)
        return outputs

    def precision(self) -> str | None:
        return _PRECISIONS.get(self.weights.dtype)

    def close(self) -> None:
        self.weights.close()
