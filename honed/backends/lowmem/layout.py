"""The parts of a BERT-shaped encoder, each with the names of its tensors.

A layout holds names and numbers, and imports no framework. `checkpoint_layout` makes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x W^T + b: the names of W [outputs, inputs] and b [outputs], if there is one."""

    weight: str
    bias: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm: the names of its weight and bias, and its epsilon."""

    weight: str
    bias: str
    epsilon: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Words + positions + segments, then a norm, then a projection where they are narrower.

    `counts_from_padding` is the id of padding where the positions count the tokens that are no
    padding, beginning after this id; None where position i is row i.
    """

    words: str
    positions: str
    segments: str | None
    norm: Norm
    projection: Linear | None
    counts_from_padding: int | None

    @property
    def tables(self) -> tuple[str, ...]:
        tables = (self.words, self.positions, self.segments)
        return tuple(name for name in tables if name is not None)


@dataclass(frozen=True, slots=True)
class Layer:
    """Attention and feed forward, with a norm after each (post-norm)."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm

    @property
    def linears(self) -> tuple[Linear, ...]:
        """In the order in which they are used."""
        return (self.query, self.key, self.value, self.attention_output, self.intermediate,
                self.output)  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        linears = [name for linear in self.linears for name in linear.names]
        return (*linears, *self.attention_norm.names, *self.output_norm.names)


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer of a head, then an activation ("" for none), then a norm if there is one."""

    linear: Linear
    activation: str = ""
    norm: Norm | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What follows the encoder. `rows` says which tokens it sees: none, the first, or all."""

    rows: Literal["none", "first", "all"] = "none"
    layers: tuple[Dense, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderLayout:
    """A whole encoder. `activation` is that of the feed forward. `pooler` is a layer behind the
    encoder that no task of honed reads, but that transformers computes."""

    hidden: int
    heads: int
    intermediate: int
    activation: str
    embeddings: Embeddings
    layers: tuple[Layer, ...]
    head: Head = field(default_factory=Head)
    pooler: Linear | None = None

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    @property
    def names(self) -> Iterator[str]:
        """Every tensor that a call uses, in the order in which it does."""
        yield from self.embeddings.tables
        yield from self.embeddings.norm.names
        if self.embeddings.projection is not None:
            yield from self.embeddings.projection.names
        for layer in self.layers:
            yield from layer.names
        for dense in self.head.layers:
            yield from dense.linear.names
            if dense.norm is not None:
                yield from dense.norm.names
        if self.pooler is not None:
            yield from self.pooler.names
