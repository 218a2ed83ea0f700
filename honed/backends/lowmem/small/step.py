"""The Step of the small engine: batches to packed tokens, and tokens to the outputs of a task."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from honed.backends.base import Batch, LoadRequest, Outputs, Step
from honed.backends.lowmem.budget import KEEPS_PAGES_BELOW_BYTES
from honed.backends.lowmem.checkpoint_layout import encoder_layout
from honed.backends.lowmem.convert import SCALES
from honed.backends.lowmem.knobs import KEPT, PAGES, RELEASED
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.small import NAME
from honed.backends.lowmem.small.arithmetic import Floats
from honed.backends.lowmem.small.encoder import Encoder, Tokens
from honed.backends.lowmem.small.network import Builder
from honed.backends.lowmem.small.reader import Ids
from honed.backends.lowmem.small.sizes import Shape, Sizes, needed_bytes, sizes_within
from honed.backends.lowmem.stored import stored_tensors
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Value
from honed.machine import limits
from honed.models import vectors
from honed.models.checkpoint import Checkpoint
from honed.models.heads import output_names
from honed.models.tasks import FEATURES
from honed.units import size_bytes

_PRECISIONS = {"BF16": "bf16", "I8": "int8"}


@dataclass(frozen=True, slots=True)
class Feed:
    """The tokens of a batch, its shape with padding (rows, length), and how much each token counts
    in the pooling, by mode [rows, length]."""

    tokens: Tokens
    shape: tuple[int, int]
    shares: Mapping[str, Floats]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The arrays of the batch."""
        yield from (self.tokens.ids, self.tokens.positions, self.tokens.segments)
        yield from self.shares.values()

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


class SmallStep(Step):
    """One encoder. Pooling and the head are part of a call."""

    def __init__(
        self, request: LoadRequest, folder: Path | None = None, sizes: Sizes | None = None
    ) -> None:
        """`folder` holds converted weights, in place of the checkpoint's; `sizes` overrule the
        memory budget of the Case."""
        case, checkpoint = request.case, request.checkpoint
        stored = stored_tensors(folder or checkpoint.folder)
        layout = encoder_layout(checkpoint, stored)
        if layout is None:
            raise UnsupportedError(
                f"lowmem.engine=small does not compute this {checkpoint.model_type}",
                "lowmem.engine=torch",
            )
        self._model = checkpoint
        self._behind = _layers_behind(checkpoint)
        self._names = output_names(checkpoint.task, checkpoint.pooling)
        self._padding = layout.embeddings.counts_from_padding
        self._pages_asked = case.get(PAGES.name)
        names = {*layout.names, *(f"{name}{SCALES}" for name in layout.names)}
        self._weights = MappedWeights({n: t for n, t in stored.items() if n in names})
        try:
            builder = Builder(self._weights)
            self._network = builder.network(layout)
            self._vector_bytes = builder.held_bytes
            self._set_up(case, request.threads or limits.read().effective_count, sizes)
        except BaseException:
            self._weights.close()
            raise
        # Products have 32 bits; a narrower precision is that of the weights in the file.
        stored_as = self._network.layers[0].query.weight.dtype
        self._precision = "fp32" if case.precision == "fp32" else _PRECISIONS.get(stored_as)
        # numpy's BLAS runs on the threads that call it: see team.py.
        self._limit = threadpoolctl.threadpool_limits(1, user_api="blas")

    def _set_up(self, case: Case, threads: int, sizes: Sizes | None) -> None:
        """Choose the sizes and whether pages are kept, within the Case's budget and for its shape;
        then start the threads."""
        shape = Shape(case.batch_size, case.sequence_length)
        budget = self._budget(case)
        self._sizes = sizes or sizes_within(self._network, threads, shape, budget)
        arrays = needed_bytes(self._network, threads, self._sizes, shape)
        self._matrices_bytes = sum(product.weight.nbytes for product in self._network.products)
        if self._pages_asked is None:  # narrow weights are read, whatever becomes of pages
            room = KEEPS_PAGES_BELOW_BYTES if budget is None else budget - arrays
            fits = self._matrices_bytes <= room
            self._weights.keeps_pages = fits and not self._network.narrow_bytes
        else:
            self._weights.keeps_pages = self._pages_asked == KEPT
        self._encoder = Encoder(self._network, threads, self._sizes, self._weights)
        self.weights_bytes = self._vector_bytes + self._encoder.window_bytes
        self.needed_bytes = self.needed(shape)  # of the largest call so far, or of the Case's

    def needed(self, shape: Shape) -> int:
        """What a call of this shape adds by plan: the vectors that are held, the arrays, and the
        pages if they are kept. Its outputs are not counted."""
        arrays = needed_bytes(self._network, self._encoder.team.size, self._sizes, shape)
        kept = self._matrices_bytes if self._weights.keeps_pages else 0
        return self._vector_bytes + arrays + kept

    def prepare(self, batch: Batch) -> Feed:
        """The real tokens, packed. Positions are counted before padding is dropped."""
        ids, mask = batch["input_ids"], batch["attention_mask"].astype(bool)
        lengths = mask.sum(axis=1)
        if not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
            raise UnsupportedError(
                "lowmem.engine=small drops padding behind the tokens, but here padding comes "
                "before them",
                "lowmem.engine=torch, or pad on the right",
            )
        if not lengths.all():
            raise UnsupportedError("a sequence of the batch has no tokens", "leave it out")
        self.needed_bytes = max(self.needed_bytes, self.needed(Shape(*ids.shape)))
        positions = _positions(ids, self._padding)
        segments = batch.get("token_type_ids", np.zeros_like(ids))
        counts = tuple(int(length) for length in lengths)
        pools = self._model.task == FEATURES and self._model.pooling != "none"
        real = mask.astype(np.float32)
        shares = vectors.shares(real, self._model.pooling) if pools else {}
        tokens = Tokens(ids[mask], positions[mask], segments[mask], counts)
        return Feed(tokens, ids.shape, shares)

    def run(self, feed: Feed) -> tuple[Floats, ...]:
        with self._weights.held():
            hidden = self._encoder.run(feed.tokens)
            if self._model.task != FEATURES:
                return self._head(hidden, feed)
            return (self._vectors(hidden, feed) if feed.shares else _unpacked(hidden, feed),)

    def outputs(self, raw: tuple[Floats, ...]) -> Outputs:
        return dict(zip(self._names, raw, strict=True))

    def tensor_peak_bytes(self, feed: Feed) -> int | None:
        """All arrays that are alive at once: those held, the inputs and the outputs. Besides them
        a call makes arrays of a few KiB."""
        self.run(feed)
        held = self._vector_bytes + self._encoder.nbytes
        return held + feed.nbytes + self._made_bytes(feed)

    def read_back(self) -> Mapping[str, Value | None]:
        of_blas = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()
                   if pool["user_api"] == "blas"}  # fmt: skip
        return {
            "threads": self._encoder.team.size if of_blas == {1} else None,
            "precision": self._precision,
            "products": "fp32",
            "memory_needed_bytes": self.needed_bytes,
            "device": "cpu",
            "skips_padding": True,
            "lowmem.engine": NAME,
            "lowmem.strategy": "stream",
            PAGES.name: self._pages(),
        }

    @property
    def uses_map(self) -> bool:
        """Whether the last call used the weights in the map."""
        return self._encoder.used_map

    def _pages(self) -> str | None:
        """What became of mapped pages; None where they should be kept, but weights were read."""
        if self._weights.keeps_pages and self.uses_map:
            return KEPT
        return None if self._pages_asked == KEPT else RELEASED

    def close(self) -> None:
        self._encoder.close()
        self._weights.close()
        self._limit.restore_original_limits()

    def _budget(self, case: Case) -> int | None:
        """What the Case's budget leaves for the arrays of a call."""
        if case.memory_budget is None:
            return None
        return size_bytes(case.memory_budget) - self._vector_bytes

    def _made_bytes(self, feed: Feed) -> int:
        """The arrays that a call makes for its outputs: two are alive at once, one made from the
        other, except for hidden states without pooling."""
        rows, length = feed.shape
        if self._model.task == FEATURES:
            vectors_made = 2 * rows * len(feed.shares) if feed.shares else rows * length
            return vectors_made * self._network.hidden * 4
        first = self._network.head_rows == "first"
        count = rows if first else len(feed.tokens.ids)
        made = [0, *(count * layer.product.outputs for layer in self._network.head)]
        if not first and count < rows * length:
            made.append(rows * length * self._network.head[-1].product.outputs)
        return max(map(sum, itertools.pairwise(made))) * 4

    def _vectors(self, hidden: Floats, feed: Feed) -> Floats:
        """The vector of each text [rows, width]: the tokens pooled, and the layers behind that."""
        parts, start = [], 0
        for row, count in enumerate(feed.tokens.lengths):
            shares = {mode: share[row : row + 1, :count] for mode, share in feed.shares.items()}
            parts.append(vectors.pooled(hidden[None, start : start + count], shares))
            start += count
        return vectors.transformed(np.concatenate(parts), self._model.layers, self._behind)

    def _head(self, hidden: Floats, feed: Feed) -> tuple[Floats, ...]:
        """The logits of the task."""
        first = self._network.head_rows == "first"
        x = hidden[np.cumsum((0, *feed.tokens.lengths))[:-1]] if first else hidden
        for layer in self._network.head:
            x = self._encoder.product(x, layer.product, layer.activation)
            if layer.norm is not None:
                layer.norm(x)
        if first:
            return (x,)
        rows, length = feed.shape
        whole = len(x) == rows * length
        logits = x.reshape(rows, length, -1) if whole else _unpacked(x, feed)
        if len(self._names) == 1:
            return (logits,)
        return tuple(logits[..., place] for place in range(len(self._names)))


def _layers_behind(checkpoint: Checkpoint) -> dict[str, Floats]:
    """The tensors of the layers behind the pooling, by the names of `vectors.transformed`."""
    if checkpoint.reading.prompt and not checkpoint.pools_prompt:
        raise UnsupportedError(
            f"{checkpoint.folder} leaves its prompt out of the pooling, and lowmem.engine=small "
            "has no tokenizer that would count its tokens",
            "lowmem.engine=torch",
        )
    tensors: dict[str, Floats] = {}
    for place, layer in enumerate(checkpoint.layers):
        if layer.folder is not None:
            files = MappedWeights(stored_tensors(layer.folder))
            builder = Builder(files)
            tensors |= {f"{place}.{name}": builder.vector(name) for name in files.stored}
            files.close()
    return tensors


def _positions(ids: Ids, padding: int | None) -> Ids:
    """The row of the position embeddings for each token [rows, length]. `padding` is the id whose
    tokens are not counted, and from which counting begins."""
    if padding is None:
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    real = ids != padding
    counted: Ids = real.cumsum(axis=1) * real + padding
    return counted


def _unpacked(packed: Floats, feed: Feed) -> Floats:
    """Packed rows [n, width] as [rows, length, width], with zeros for padding."""
    rows, length = feed.shape
    out = np.zeros((rows, length, packed.shape[1]), np.float32)
    start = 0
    for row, count in enumerate(feed.tokens.lengths):
        out[row, :count] = packed[start : start + count]
        start += count
    return out
