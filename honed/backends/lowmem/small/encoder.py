"""The layers of an encoder, with the weights of one panel of one matrix in memory at a time.

The tokens of a batch stand packed behind each other, without padding. Each thread computes its
share of the rows of each matrix, which are the columns of the product, and so the attention heads
whose queries, keys and values it computed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from honed.backends.lowmem.ahead import disk_reads
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.small.arithmetic import (
    Activation,
    Floats,
    Temporaries,
    exponentials,
)
from honed.backends.lowmem.small.network import Layer, Network, Product
from honed.backends.lowmem.small.reader import Ids, Reader
from honed.backends.lowmem.small.sizes import (
    Sizes,
    panel_numbers,
    score_numbers,
    shared_numbers,
)
from honed.backends.lowmem.small.team import Team
from honed.backends.lowmem.stored import StoredTensor

_EMBEDDED = 64  # tokens whose positions are added at once


@dataclass(frozen=True, slots=True)
class Tokens:
    """The real tokens of a batch, one sequence behind the other: ids, positions and segments [n],
    and the lengths of the sequences."""

    ids: Ids
    positions: Ids
    segments: Ids
    lengths: tuple[int, ...]

    def groups(self, most: int) -> Iterator[list[slice]]:
        """The rows of each sequence, in groups of at most `most` rows or of one sequence."""
        group: list[slice] = []
        start = 0
        for length in self.lengths:
            if group and start + length - group[0].start > most:
                yield group
                group = []
            group.append(slice(start, start + length))
            start += length
        if group:
            yield group


class Arrays:
    """The hidden states [tokens, hidden] of a batch, and what its largest group of `rows` needs
    besides: queries, keys, values, context and the output of a half layer [rows, hidden]. The
    widened tokens [rows, intermediate] share the memory of the first four."""

    def __init__(self, network: Network, sizes: Sizes, tokens: int = 0, rows: int = 0) -> None:
        hidden, wide_rows = network.hidden, min(rows, sizes.tokens)
        wide = wide_rows * network.intermediate
        shared = np.empty(shared_numbers(network, sizes, rows), np.float32)
        four = shared[: 4 * rows * hidden].reshape(4, rows, hidden)
        self.x = np.empty((tokens, hidden), np.float32)
        self.query, self.key, self.value, self.context = four
        self.wide = shared[:wide].reshape(wide_rows, network.intermediate)
        self.output = np.empty((rows, hidden), np.float32)
        self.nbytes = self.x.nbytes + shared.nbytes + self.output.nbytes

    def hold(self, tokens: int, rows: int) -> bool:
        """Whether a batch of so many tokens, in groups of so many rows, fits."""
        return tokens <= len(self.x) and rows <= len(self.output)


class Encoder:
    """An encoder on `threads` threads. With `mapped`, weights are used where they lie in the map
    as far as that is possible."""

    def __init__(
        self, network: Network, threads: int, sizes: Sizes, mapped: MappedWeights | None = None
    ) -> None:
        numbers = panel_numbers(network, threads, sizes)
        # The readers first: they refuse types of weights, and no thread must be left then.
        readers = [Reader(network.matrices, numbers, mapped) for _ in range(threads)]
        self.team = Team(threads)
        self._members = [
            Member(network, self.team, sizes, index, reader)
            for index, reader in enumerate(readers)
        ]
        self._network, self._sizes = network, sizes
        self._arrays = Arrays(network, sizes)
        self._reads_before: int | None = None  # from the disk, in the call before

    @property
    def window_bytes(self) -> int:
        """The memory that holds the weights in use."""
        return sum(member.reader.nbytes for member in self._members)

    @property
    def used_map(self) -> bool:
        """Whether the last weights of the last call were used in the map."""
        return all(member.reader.used_map for member in self._members)

    @property
    def nbytes(self) -> int:
        """All arrays that are held between calls."""
        held = sum(member.nbytes for member in self._members)
        return held + self._arrays.nbytes

    def run(self, tokens: Tokens) -> Floats:
        """The hidden states [n, hidden] of the tokens; the next call overwrites them."""
        groups, count = list(tokens.groups(self._sizes.tokens)), len(tokens.ids)
        rows = max(group[-1].stop - group[0].start for group in groups)
        if not self._arrays.hold(count, rows):
            self._arrays = Arrays(self._network, self._sizes)  # the old ones are released first
            self._arrays = Arrays(self._network, self._sizes, count, rows)
        arrays, reads = self._arrays, disk_reads()
        for member in self._members:
            member.reads_ahead = self._reads_before != 0
        self.team.run(lambda index: self._members[index].forward(arrays, tokens, groups))
        self._reads_before = disk_reads() - reads
        return arrays.x[:count]

    def product(self, x: Floats, product: Product, activation: Activation | None) -> Floats:
        """A product of the head: [n, outputs] for x [n, inputs]."""
        out = np.empty((len(x), product.outputs), np.float32)

        def work(index: int) -> None:
            mine = self.team.share(product.outputs, index)
            self._members[index].product(x, product, out, mine, activation)

        self.team.run(work)
        return out

    def close(self) -> None:
        self.team.close()
        for member in self._members:
            member.reader.close()


class Member:
    """One thread of an encoder: its share of every step, and the arrays that only it uses."""

    def __init__(
        self, network: Network, team: Team, sizes: Sizes, index: int, reader: Reader
    ) -> None:
        self.reader = reader
        self.reads_ahead = True
        self._network = network
        self._sizes = sizes
        self._team = team
        self._index = index
        self._head_size = network.hidden // network.attention_heads
        self._next = self._next_panels()
        self._temporaries = Temporaries()
        self._scores = np.empty(0, np.float32)

    @property
    def nbytes(self) -> int:
        return self.reader.nbytes + self._temporaries.nbytes + self._scores.nbytes

    def forward(self, arrays: Arrays, tokens: Tokens, groups: Sequence[Sequence[slice]]) -> None:
        """This thread's share of the whole pass over the batch, into arrays.x."""
        scores = score_numbers(self._sizes, max(tokens.lengths))
        if self._scores.size < scores:
            self._scores = np.empty(scores, np.float32)
        self._embed(arrays, tokens)
        self._team.meet()
        for layer in self._network.layers:
            for group in groups:
                first = group[0].start
                x = arrays.x[first : group[-1].stop]
                sequences = [slice(s.start - first, s.stop - first) for s in group]
                self._attention(layer, x, arrays, sequences)
                for start in range(0, len(x), self._sizes.tokens):
                    self._feed_forward(layer, x[start : start + self._sizes.tokens], arrays)

    def _embed(self, arrays: Arrays, tokens: Tokens) -> None:
        """The sum of a token's word, position and segment, its norm, and ELECTRA's projection."""
        embeddings = self._network.embeddings
        own = self._rows(len(tokens.ids))
        count, width = own.stop - own.start, embeddings.words.shape[1]
        # The rows of x are wider than a narrow embedding, so one that is projected stands apart.
        narrow = embeddings.projection is not None
        x = np.empty((count, width), np.float32) if narrow else arrays.x[own]
        added = np.empty((min(count, _EMBEDDED), width), np.float32)
        self.reader.gather(embeddings.words, tokens.ids[own], x)
        for start in range(0, count, _EMBEDDED):
            part = slice(start, min(start + _EMBEDDED, count))
            rows = added[: part.stop - part.start]
            self.reader.gather(embeddings.positions, tokens.positions[own][part], rows)
            x[part] += rows
            if len(embeddings.segments):
                x[part] += embeddings.segments[tokens.segments[own][part]]
        embeddings.norm(x)
        if embeddings.projection is not None:
            whole = range(embeddings.projection.outputs)
            self.product(x, embeddings.projection, arrays.x[own], whole)

    def _attention(
        self, layer: Layer, x: Floats, arrays: Arrays, sequences: Sequence[slice]
    ) -> None:
        """Attention of each sequence to itself, its product, the residual and the norm, into x."""
        rows, size = len(x), self._head_size
        query, key, value = arrays.query[:rows], arrays.key[:rows], arrays.value[:rows]
        context, output = arrays.context[:rows], arrays.output[:rows]
        mine = self._share(layer.query, of_heads=True)
        for product, out in ((layer.query, query), (layer.key, key), (layer.value, value)):
            self.product(x, product, out, mine)
        query[:, mine.start : mine.stop] *= 1 / math.sqrt(size)
        for head in range(mine.start, mine.stop, size):
            columns = slice(head, head + size)
            for tokens in sequences:
                q, k, v = (array[tokens, columns] for array in (query, key, value))
                self._attend(q, k, v, context[tokens, columns])
        self._team.meet()
        self._half(layer.attended, context, output)
        own = self._rows(rows)
        layer.attention_norm(x[own], output[own])
        self._team.meet()

    def _attend(self, query: Floats, key: Floats, value: Floats, context: Floats) -> None:
        """softmax(query @ key.T) @ value for one head of one sequence, all [length, head size]."""
        length = len(query)
        height = max(1, self._scores.size // length)
        for start in range(0, length, height):
            part = query[start : start + height]
            scores = self._scores[: len(part) * length].reshape(len(part), length)
            np.matmul(part, key.T, out=scores)
            sums = exponentials(scores)
            target = context[start : start + height]
            np.matmul(scores, value, out=target)
            target /= sums

    def _feed_forward(self, layer: Layer, x: Floats, arrays: Arrays) -> None:
        """The feed-forward of the tokens, the residual and the norm, into x."""
        wide, output = arrays.wide[: len(x)], arrays.output[: len(x)]
        activation = self._network.activation
        self.product(x, layer.widen, wide, self._share(layer.widen), activation)
        self._team.meet()
        self._half(layer.narrow, wide, output)
        own = self._rows(len(x))
        layer.output_norm(x[own], output[own])
        self._team.meet()

    def _half(self, product: Product, x: Floats, output: Floats) -> None:
        """The product that ends a half of a layer; every thread may read the output afterwards."""
        self.product(x, product, output, self._share(product))
        self._team.meet()

    def product(
        self,
        x: Floats,
        product: Product,
        out: Floats,
        mine: range,
        activation: Activation | None = None,
    ) -> None:
        """The columns `mine` of the product of x [n, inputs], into those of `out` [n, outputs]."""
        for first, last in self._panels(product, mine):
            weights = self.reader.rows(product.weight, first, last)
            if self.reads_ahead and not self.reader.used_map:
                self._read_next(product, first)  # while this one is multiplied
            target = out[:, first:last]
            np.matmul(x, weights.T, out=target)
            self.reader.release(product.weight, first, last)
            if product.scales is not None:
                target *= product.scales[first:last]
            bias = None if product.bias is None else product.bias[first:last]
            if activation is not None:
                activation(target, bias, self._temporaries)
            elif bias is not None:
                target += bias

    def _read_next(self, product: Product, first: int) -> None:
        """Let a disk read the panel after this one. Through a map the kernel does it unasked, and
        then into large pages, which are mapped in less time."""
        if following := self._next.get((product.weight.name, first)):
            self.reader.will_need(*following)

    def _panels(self, product: Product, mine: range) -> Iterator[tuple[int, int]]:
        """The first row of each panel of the weights, and the row after its last."""
        most = max(1, self.reader.numbers // product.inputs)
        count = -(-len(mine) // most)
        height = -(-len(mine) // max(1, count))  # panels of one size
        for first in range(mine.start, mine.stop, max(1, height)):
            yield first, min(first + height, mine.stop)

    def _next_panels(self) -> dict[tuple[str, int], tuple[StoredTensor, int, int]]:
        """The panel that this thread reads after each one, by the matrix and the first row."""
        panels = [
            (product.weight, first, last)
            for layer in self._network.layers
            for place, product in enumerate(layer.products)
            for first, last in self._panels(product, self._share(product, of_heads=place < 3))
        ]
        return {(one[0].name, one[1]): other for one, other in itertools.pairwise(panels)}

    def _share(self, product: Product, *, of_heads: bool = False) -> range:
        """This thread's rows of the weights; those of queries, keys and values in whole heads."""
        grain = self._head_size if of_heads else 1
        return self._team.share(product.outputs, self._index, grain)

    def _rows(self, count: int) -> slice:
        """This thread's share of `count` rows."""
        share = self._team.share(count, self._index)
        return slice(share.start, share.stop)
