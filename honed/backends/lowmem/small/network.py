"""An encoder as this engine computes it: its matrices in the files, its vectors in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from honed.backends.lowmem import layout
from honed.backends.lowmem.convert import SCALES
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.small.arithmetic import ACTIVATIONS, Activation, Floats, add_and_norm
from honed.backends.lowmem.small.reader import as_floats, refuse_types
from honed.backends.lowmem.stored import DTYPES, StoredTensor


@dataclass(frozen=True, slots=True)
class Product:
    """x @ weight.T * scales + bias, for a weight [outputs, inputs] in a file, and scales (of int8
    codes) and a bias [outputs], where there are any."""

    weight: StoredTensor
    bias: Floats | None
    scales: Floats | None

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm; its weights and biases are [hidden]. `shift` [hidden] is added before it: the
    bias of the product that comes before, which takes no pass of its own here."""

    weights: Floats
    biases: Floats
    epsilon: float
    shift: Floats | None = None

    def __call__(self, x: Floats, added: Floats | None = None) -> None:
        """The norm of x + added + shift, into x."""
        add_and_norm(x, (added, self.shift), (self.weights, self.biases), self.epsilon)


@dataclass(frozen=True, slots=True)
class Layer:
    """Attention, then a feed-forward that widens each token and narrows it again.

    The key has no bias: it would add the same number to all scores of a token, and a softmax gives
    the same for that. The biases of `attended` and `narrow` are shifts of the norms.
    """

    query: Product
    key: Product
    value: Product
    attended: Product
    attention_norm: Norm
    widen: Product
    narrow: Product
    output_norm: Norm

    @property
    def products(self) -> tuple[Product, ...]:
        return (self.query, self.key, self.value, self.attended, self.widen, self.narrow)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`segments` [kinds, width] has no rows where the model has no segments. `projection` brings
    ELECTRA's narrow embeddings to the width of its layers."""

    words: StoredTensor
    positions: StoredTensor
    segments: Floats
    norm: Norm
    projection: Product | None


@dataclass(frozen=True, slots=True)
class HeadLayer:
    """A product of the head, then an activation and a norm where there is one."""

    product: Product
    activation: Activation | None
    norm: Norm | None


@dataclass(frozen=True, slots=True)
class Network:
    """An encoder and its head, which sees no token, the first of each sequence, or all."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    attention_heads: int
    activation: Activation
    head_rows: Literal["none", "first", "all"]
    head: tuple[HeadLayer, ...]

    @property
    def hidden(self) -> int:
        return self.layers[0].query.inputs

    @property
    def intermediate(self) -> int:
        return self.layers[0].widen.outputs

    @property
    def products(self) -> Iterator[Product]:
        for layer in self.layers:
            yield from layer.products
        for last in self.head:
            yield last.product
        if self.embeddings.projection is not None:
            yield self.embeddings.projection

    @property
    def matrices(self) -> Iterator[StoredTensor]:
        """Everything that is read from the files in each call."""
        yield from (self.embeddings.words, self.embeddings.positions)
        for product in self.products:
            yield product.weight

    @property
    def narrow_bytes(self) -> int:
        """The bytes of a weight that is read before it becomes 32 bits; 0 if all have 32."""
        widths = {tensor.dtype: tensor.nbytes // math.prod(tensor.shape)
                  for tensor in self.matrices if tensor.dtype != "F32"}  # fmt: skip
        return max(widths.values(), default=0)


class Builder:
    """Makes the network of a layout, and counts the bytes of the vectors that it holds."""

    def __init__(self, weights: MappedWeights) -> None:
        self._weights = weights
        self.held_bytes = 0

    def network(self, of: layout.EncoderLayout) -> Network:
        head = tuple(
            HeadLayer(
                self._product(dense.linear),
                ACTIVATIONS[dense.activation] if dense.activation else None,
                None if dense.norm is None else self._norm(dense.norm),
            )
            for dense in of.head.layers
        )
        return Network(
            self._embeddings(of.embeddings),
            tuple(self._layer(layer) for layer in of.layers),
            of.heads,
            ACTIVATIONS[of.activation],
            of.head.rows,
            head,
        )

    def _embeddings(self, of: layout.Embeddings) -> Embeddings:
        stored = self._weights.stored
        words = stored[of.words]
        none = np.empty((0, words.shape[1]), np.float32)
        return Embeddings(
            words,
            stored[of.positions],
            none if of.segments is None else self.vector(of.segments),
            self._norm(of.norm),
            None if of.projection is None else self._product(of.projection),
        )

    def _layer(self, of: layout.Layer) -> Layer:
        return Layer(
            self._product(of.query),
            self._product(replace(of.key, bias=None)),
            self._product(of.value),
            self._product(replace(of.attention_output, bias=None)),
            self._norm(of.attention_norm, of.attention_output.bias),
            self._product(of.intermediate),
            self._product(replace(of.output, bias=None)),
            self._norm(of.output_norm, of.output.bias),
        )

    def _product(self, of: layout.Linear) -> Product:
        bias = None if of.bias is None else self.vector(of.bias)
        name = of.weight + SCALES
        scales = self.vector(name) if name in self._weights.stored else None
        return Product(self._weights.stored[of.weight], bias, scales)

    def _norm(self, of: layout.Norm, shift: str | None = None) -> Norm:
        added = None if shift is None else self.vector(shift)
        return Norm(self.vector(of.weight), self.vector(of.bias), of.epsilon, added)

    def vector(self, name: str) -> Floats:
        """A tensor of any shape, read into memory."""
        tensor = self._weights.stored[name]
        refuse_types((tensor,))
        stored = np.empty(tensor.shape, DTYPES[tensor.dtype])
        self._weights.read(name, stored)
        vector = as_floats(stored, tensor.dtype)
        self.held_bytes += vector.nbytes
        return vector
