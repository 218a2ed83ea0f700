"""The streaming schedule of BERT-shaped encoders: weights are used where they lie in the map.

All sequences of a call go through a layer, in groups of few rows, before the next one is touched.
In memory are the hidden states of the call, the buffers of one group, and the pages of the
matrices that are in use. The buffers lie in a fixed arena, so that no call allocates and frees
megabytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from honed.backends.lowmem.ahead import ReadAhead, disk_reads
from honed.backends.lowmem.budget import Chunks, Shape, arena_elements, sequences_at_once
from honed.backends.lowmem.convert import SCALES
from honed.backends.lowmem.layout import Dense, EncoderLayout, Layer, Linear, Norm
from honed.backends.lowmem.products import Products
from honed.backends.lowmem.tensors import WeightTensors

_NORM_ROWS = 128  # rows of a sum and its norm at a time: they stay in the cache of a core
_VOCABULARY_ROWS = 4096  # outputs of a head at a time

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": torch.ops.aten.gelu_.default,
    "gelu_tanh": lambda x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "relu": torch.relu_,
    "silu": torch.ops.aten.silu_.default,
    "tanh": torch.tanh_,
    "": lambda x: x,
}


@dataclass(frozen=True, slots=True)
class _Group:
    """Some sequences of a call: their rows in the hidden states, and their mask."""

    rows: slice
    sequences: int
    length: int
    mask: Any  # bool [sequences, 1, 1, length]; None where no token is padding


class EncoderStream:
    """Runs one encoder. `weights` must have kept every vector of the layout."""

    def __init__(self, layout: EncoderLayout, weights: WeightTensors) -> None:
        self.layout, self.weights, self.chunks = layout, weights, Chunks()
        self.products = Products(weights)
        self._reads_before: int | None = None  # from the disk, in the call before
        self._arena = torch.empty(0, dtype=weights.dtype)
        vectors = [n for n in layout.names if len(weights.mapped.stored[n].shape) == 1]
        vectors += [n for n in weights.mapped.stored if n.endswith(SCALES)]
        segments = layout.embeddings.segments
        weights.keep([*vectors, *([] if segments is None else [segments])])

    @property
    def held_bytes(self) -> int:
        """What stays in memory between calls."""
        return self.weights.kept_bytes + int(self._arena.nbytes)

    def reserve(self, chunks: Chunks, shape: Shape) -> None:
        """Make the arena large enough for calls of this shape."""
        elements = arena_elements(self.layout, self.weights.mapped.stored, chunks, shape)
        if elements > self._arena.numel():
            self._arena = torch.empty(elements, dtype=self.weights.dtype)

    def __call__(self, chunks: Chunks, ids: Any, mask: Any, segments: Any = None) -> Any:
        """The hidden states [batch, length, hidden] of the last layer."""
        batch, length = ids.shape
        self.chunks = chunks
        self.weights.mapped.keeps_pages = chunks.keeps_pages
        self.reserve(chunks, Shape(batch, length))
        reads = disk_reads()
        with self.weights.mapped.held():
            groups = list(self._groups(mask))
            hidden = torch.empty(batch * length, self.layout.hidden, dtype=self.weights.dtype)
            for group in groups:
                self._embed(ids, segments, group, hidden[group.rows])
            with self._reading_ahead() as ahead:
                for layer in self.layout.layers:
                    self._through(layer, groups, hidden)
                    if ahead is not None:
                        ahead.done_with_a_layer()
            self._reads_before = disk_reads() - reads
            return hidden.view(batch, length, -1)

    def _reading_ahead(self) -> ReadAhead | contextlib.nullcontext[None]:
        """A reader, if the call before had to wait for the disk or there was none."""
        if self._reads_before == 0:
            return contextlib.nullcontext()
        return ReadAhead(self.weights.mapped, [layer.names for layer in self.layout.layers])

    def _through(self, layer: Layer, groups: list[_Group], hidden: Any) -> None:
        """All groups go through one layer."""
        self.weights.mapped.make_sure(layer.names)
        for index, group in enumerate(groups):
            release = index == len(groups) - 1 or not self.chunks.holds_layer
            self._layer(layer, group, hidden[group.rows], release=release)
        # A fault maps neighbours too, so pages of other tensors have come in.
        self.weights.mapped.release_all()

    def head(self, hidden: Any) -> Any:
        """The outputs of the task's head: [batch, labels] or [batch, length, labels]."""
        with self.weights.mapped.held():
            states = hidden[:, 0] if self.layout.head.rows == "first" else hidden
            for dense in self.layout.head.layers:
                states = self._dense(dense, states)
            return states

    def pooler(self, hidden: Any) -> Any:
        """BERT's pooler of the first token: [batch, hidden]; None for a model without one."""
        if self.layout.pooler is None:
            return None
        with self.weights.mapped.held():
            return self._dense(Dense(self.layout.pooler, "tanh"), hidden[:, 0])

    def _groups(self, mask: Any) -> Iterator[_Group]:
        batch, length = mask.shape
        at_once = sequences_at_once(self.chunks, length)
        for first in range(0, batch, at_once):
            part = mask[first : first + at_once]
            real = None if bool(part.all()) else part.bool()[:, None, None, :]
            rows = slice(first * length, (first + len(part)) * length)
            yield _Group(rows, len(part), length, real)

    def _buffer(self, offset: int, rows: int, columns: int) -> Any:
        return self._arena[offset : offset + rows * columns].view(rows, columns)

    # -- the parts of a model ---------------------------------------------------------------

    def _embed(self, ids: Any, segments: Any, group: _Group, into: Any) -> None:
        """Words, segments and positions of a group into [rows, hidden], one sequence at a time."""
        embeddings, weights, length = self.layout.embeddings, self.weights, group.length
        width = weights.mapped.stored[embeddings.words].shape[1]
        words = self._buffer(0, length, width)
        positions = self._buffer(length * width, length, width)
        first = group.rows.start // length
        table = weights.vector(embeddings.segments)
        for index in range(group.sequences):
            row = ids[first + index]
            weights.rows(embeddings.words, row.tolist(), words)
            weights.rows(embeddings.positions, self._positions(row), positions)
            words.add_(positions)
            if table is not None and segments is None:
                words.add_(table[0])
            elif table is not None:
                torch.index_select(table, 0, segments[first + index], out=positions)
                words.add_(positions)
            states = into[index * length : (index + 1) * length]
            self._normed(words, None, embeddings.norm)
            if embeddings.projection is None:
                states.copy_(words)
            else:
                self._linear(words, embeddings.projection, states)

    def _positions(self, ids: Any) -> list[int]:
        """The rows of the position table for one sequence."""
        padding = self.layout.embeddings.counts_from_padding
        if padding is None:
            return list(range(len(ids)))
        real = (ids != padding).long()
        positions: list[int] = (real.cumsum(0) * real + padding).tolist()
        return positions

    def _layer(self, layer: Layer, group: _Group, states: Any, *, release: bool) -> None:
        """One layer, in place. `release`: no other group needs the layer's pages."""
        attended = self._attention(layer, group, states, release=release)
        summed = self._buffer(0, len(states), self.layout.hidden)
        self._linear(attended, layer.attention_output, summed, release=release)
        self._normed(states, summed, layer.attention_norm)
        self._feed_forward(layer, states, summed, release=release)
        self._normed(states, summed, layer.output_norm)

    def _attention(self, layer: Layer, group: _Group, states: Any, *, release: bool) -> Any:
        """softmax(Q K^T) V of the group: [rows, hidden]."""
        rows, hidden = states.shape
        parts = self.chunks.head_groups
        width = hidden // parts
        # The sum with the residual is made in the first rows x hidden of the arena.
        behind = rows * max(3 * width, hidden)
        whole = self._buffer(behind, rows, hidden) if parts > 1 else None
        ready = self.products.ready(states, layer.query)
        for part in range(parts):
            columns = (part * width, (part + 1) * width)
            projected = []
            for index, linear in enumerate((layer.query, layer.key, layer.value)):
                into = self._buffer(index * rows * width, rows, width)
                self._linear(ready, linear, into, columns)
                shape = (group.sequences, group.length, -1, self.layout.head_width)
                projected.append(into.view(shape).transpose(1, 2))
            attended = torch.nn.functional.scaled_dot_product_attention(
                *projected, attn_mask=group.mask
            )
            attended = attended.transpose(1, 2).reshape(rows, width)
            if whole is None:
                whole = attended
            else:
                whole[:, columns[0] : columns[1]] = attended
        if release:
            used = (layer.query.weight, layer.key.weight, layer.value.weight)
            self.weights.mapped.release(used)
        return whole

    def _feed_forward(self, layer: Layer, states: Any, into: Any, *, release: bool) -> None:
        """The wide layer by columns; what each column adds is summed up in `into`."""
        weights, wide = self.weights, self.layout.intermediate
        step = min(self.chunks.wide_columns, wide)
        activate = _ACTIVATIONS[self.layout.activation]
        into.copy_(weights.vector(layer.output.bias).expand_as(into))
        ready = self.products.ready(states, layer.intermediate)
        for begin in range(0, wide, step):
            end = min(begin + step, wide)
            inner = self._buffer(into.numel(), len(states), end - begin)
            self._linear(ready, layer.intermediate, inner, (begin, end))
            if release:
                weights.mapped.release_rows(layer.intermediate.weight, begin, end)
            activate(inner)
            self.products.add_inner(inner, layer.output, begin, end, into)
        if release:
            weights.mapped.release((layer.output.weight,))

    def _linear(
        self, states: Any, linear: Linear, into: Any, columns: tuple[int, int] | None = None,
        *, release: bool = False,
    ) -> None:  # fmt: skip
        """Some outputs of a linear layer, or all."""
        self.products.linear(states, linear, into, columns)
        if release:
            self.weights.mapped.release((linear.weight,))

    def _normed(self, states: Any, added: Any, norm: Norm) -> None:
        """states = norm(states + added), in place."""
        weight, bias = self.weights.vector(norm.weight), self.weights.vector(norm.bias)
        for first in range(0, len(states), _NORM_ROWS):
            rows = states[first : first + _NORM_ROWS]
            if added is not None:
                rows.add_(added[first : first + _NORM_ROWS])
            rows.copy_(torch.layer_norm(rows, rows.shape[1:], weight, bias, norm.epsilon))

    def _dense(self, dense: Dense, states: Any) -> Any:
        """One layer of a head; the outputs are computed in parts, a vocabulary is large."""
        flat = states.reshape(-1, states.shape[-1])
        outputs = self.weights.mapped.stored[dense.linear.weight].shape[0]
        result = torch.empty(len(flat), outputs, dtype=self.weights.dtype)
        for begin in range(0, outputs, _VOCABULARY_ROWS):
            end = min(begin + _VOCABULARY_ROWS, outputs)
            self.weights.mapped.make_sure_rows(dense.linear.weight, begin, end)
            for first in range(0, len(flat), self.chunks.group_rows):
                rows = slice(first, first + self.chunks.group_rows)
                self._linear(flat[rows], dense.linear, result[rows, begin:end], (begin, end))
            self.weights.mapped.release((dense.linear.weight,))
        _ACTIVATIONS[dense.activation](result)
        if dense.norm is not None:
            self._normed(result, None, dense.norm)
        return result.view(*states.shape[:-1], outputs)
