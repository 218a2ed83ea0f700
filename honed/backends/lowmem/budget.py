"""How much is in memory at once: the sizes of a schedule's chunks, and the choice within a budget.

Imports no framework.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from honed.backends.lowmem.layout import EncoderLayout
from honed.backends.lowmem.stored import StoredTensor

INT8_ROWS = 128  # rows that become int8, or come from it, at once
INT8_COLUMNS = 256  # outputs whose sums in int32 exist at once
# Two parts need less memory than one, and no more time.
_POSSIBLE_HEAD_GROUPS = (2, 4, 8, 16)
_POSSIBLE_COLUMNS = (1024, 512, 256, 128)
# Hidden states of fewer elements fit into the cache of a core: dividing their products would save
# little memory, and each part takes a call of the library.
_UNDIVIDED_ELEMENTS = 256 * 1024
# Without a budget, a model whose matrices take less than this keeps them mapped between calls. It
# is about what one layer of a large model takes, and mapping a page again costs as much time as
# multiplying it with a few dozen tokens.
KEEPS_PAGES_BELOW_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Chunks:
    """How much is in memory at once.

    group_rows: the tokens that go through a layer together; a sequence is never cut.
    head_groups: the attention of a group is computed in so many parts of its heads.
    wide_columns: how many outputs of the wide layer of the feed forward exist at once.
    holds_layer: the pages of a layer stay until all groups went through it, so that they are
        mapped once. Otherwise each group gives them back.
    sequences: how many sequences of a call go through the model together; None for all. The
        others wait, and the weights are passed once more for them.
    keeps_pages: the pages of all layers stay mapped between calls.
    """

    group_rows: int = 512
    head_groups: int = 2
    wide_columns: int = 1024
    holds_layer: bool = True
    sequences: int | None = None
    keeps_pages: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a call: sequences, tokens in each, and the bytes of an element of its tensors.

    `returns_states`: the hidden states of every token are the output, without a pooling.
    `products_in_fp32`: a product of bf16 is computed in fp32 first, as torch does on CPUs without
    such instructions.
    """

    batch: int
    length: int
    element_bytes: int = 4
    returns_states: bool = False
    products_in_fp32: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a call adds: its tensors, and the pages of weights that are mapped at once."""

    tensors_bytes: int
    pages_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.tensors_bytes + self.pages_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """Chunks, what they need, and whether that is within the budget."""

    chunks: Chunks
    need: Need
    fits: bool


def sequences_at_once(chunks: Chunks, length: int) -> int:
    return max(1, chunks.group_rows // length)


def arena_elements(
    layout: EncoderLayout, stored: Mapping[str, StoredTensor], chunks: Chunks, shape: Shape
) -> int:
    """Elements of the arena of buffers that a call uses."""
    rows = min(shape.batch, sequences_at_once(chunks, shape.length)) * shape.length
    hidden, groups = layout.hidden, chunks.head_groups
    attention = max(3 * hidden // groups, hidden) + (hidden if groups > 1 else 0)
    feed_forward = hidden + min(chunks.wide_columns, layout.intermediate)
    embedding = 2 * shape.length * stored[layout.embeddings.words].shape[1]
    return max(rows * max(attention, feed_forward), embedding)


def need(
    layout: EncoderLayout, stored: Mapping[str, StoredTensor], chunks: Chunks, shape: Shape
) -> Need:
    """What a call of this shape adds to a loaded process, by the sizes of its tensors."""
    passing = min(shape.batch, chunks.sequences or shape.batch)
    elements = arena_elements(layout, stored, chunks, shape)
    rows = min(passing, sequences_at_once(chunks, shape.length)) * shape.length
    attended = rows * layout.hidden // chunks.head_groups
    states = passing * shape.length * layout.hidden
    outputs = _output_elements(layout, stored, shape, split=passing < shape.batch)
    tensors = (elements + states + attended + outputs) * shape.element_bytes
    tensors += _conversion_bytes(layout, stored, chunks, shape)
    if chunks.keeps_pages:
        return Need(tensors, matrices_bytes(layout, stored))
    several = passing * shape.length > rows and chunks.holds_layer
    return Need(tensors, _pages_bytes(layout, stored, chunks, several=several))


def matrices_bytes(layout: EncoderLayout, stored: Mapping[str, StoredTensor]) -> int:
    """All weights that a call multiplies. The tables are read by rows."""
    products = [dense.linear for dense in layout.head.layers]
    products += [linear for layer in layout.layers for linear in layer.linears]
    products += [one for one in (layout.embeddings.projection, layout.pooler) if one is not None]
    return sum(stored[linear.weight].nbytes for linear in products)


def plan(
    layout: EncoderLayout,
    stored: Mapping[str, StoredTensor],
    shape: Shape,
    budget_bytes: int | None,
    *,
    keeps_pages: bool | None = None,
) -> Plan:
    """The fastest chunks that need no more than the budget; else those that need least.

    `keeps_pages` decides what becomes of the pages of weights; with None the budget does, or the
    size of the model where there is none.
    """
    if budget_bytes is None:
        small = matrices_bytes(layout, stored) <= KEEPS_PAGES_BELOW_BYTES
        keeps = small if keeps_pages is None else keeps_pages
        chunks = next(_from_fast_to_small(layout, shape, (keeps,)))
        return Plan(chunks, need(layout, stored, chunks, shape), True)
    smallest: Plan | None = None
    keeping = (True, False) if keeps_pages is None else (keeps_pages,)
    for chunks in _from_fast_to_small(layout, shape, keeping):
        needed = need(layout, stored, chunks, shape)
        if needed.total_bytes <= budget_bytes:
            return Plan(chunks, needed, True)
        if smallest is None or needed.total_bytes < smallest.need.total_bytes:
            smallest = Plan(chunks, needed, False)
    assert smallest is not None
    return smallest


def _from_fast_to_small(
    layout: EncoderLayout, shape: Shape, keeping: Sequence[bool]
) -> Iterator[Chunks]:
    """Every combination of sizes, the faster first. Passing the weights once more costs most, then
    mapping their pages for each group, then narrow products, then mapping them once."""
    passes = [None, *(n for n in (16, 8, 4, 2, 1) if n < shape.batch)]
    groups = [n for n in _POSSIBLE_HEAD_GROUPS if layout.heads % n == 0] or [1]
    columns = [n for n in _POSSIBLE_COLUMNS if n <= layout.intermediate] or [layout.intermediate]
    rows = [512, 128, 1]
    passing = min(shape.batch, sequences_at_once(Chunks(), shape.length)) * shape.length
    if passing * layout.hidden <= _UNDIVIDED_ELEMENTS:
        groups, columns = [1, *groups], [layout.intermediate, *columns]
    for at_once, holds, size, wide, parts, keeps in itertools.product(
        passes, (True, False), rows, columns, groups, keeping
    ):
        yield Chunks(size, parts, wide, holds, at_once, keeps)


def _output_elements(
    layout: EncoderLayout, stored: Mapping[str, StoredTensor], shape: Shape, *, split: bool
) -> int:
    """The outputs beside the hidden states. Those of a batch that is `split` are joined, so they
    exist twice for a moment."""
    copies = 2 if split else 1
    tokens = shape.batch * shape.length
    if layout.head.rows == "all":
        widths = [stored[dense.linear.weight].shape[0] for dense in layout.head.layers]
        return copies * tokens * sum(widths)
    if shape.returns_states:
        return copies * tokens * layout.hidden if split else 0
    # A pooling copies the states of a sequence.
    return copies * shape.batch * layout.hidden + shape.length * layout.hidden


def _conversion_bytes(
    layout: EncoderLayout, stored: Mapping[str, StoredTensor], chunks: Chunks, shape: Shape
) -> int:
    """Copies of weights that are stored in another type, or of rows that become int8, and the
    product in fp32 of which a bf16 one is made."""
    kind = stored[layout.layers[0].query.weight].dtype
    widest = max(layout.hidden, min(chunks.wide_columns, layout.intermediate))
    rows = min(shape.batch, sequences_at_once(chunks, shape.length)) * shape.length
    if kind == "I8":
        some, columns = min(rows, INT8_ROWS), min(widest, INT8_COLUMNS)
        # Codes of the inputs; sums in int32, and some of them in fp32.
        return widest * rows + columns * (rows * 4 + some * 4)
    same = {"F32": 4, "BF16": 2}.get(kind) == shape.element_bytes
    weights = 0 if same else widest * layout.hidden * shape.element_bytes
    return weights + (widest * rows * 4 if shape.products_in_fp32 else 0)


def _pages_bytes(
    layout: EncoderLayout, stored: Mapping[str, StoredTensor], chunks: Chunks, *, several: bool
) -> int:
    """The most pages that are mapped between two times of giving back."""
    layer = layout.layers[0]
    sizes = {linear.weight: stored[linear.weight].nbytes for linear in layer.linears}
    if several:
        return sum(sizes.values())
    projections = sum(sizes[linear.weight] for linear in (layer.query, layer.key, layer.value))
    feed_forward = sizes[layer.intermediate.weight] + sizes[layer.output.weight]
    if chunks.wide_columns < layout.intermediate:  # the first one is given back part by part
        parts = -(-layout.intermediate // chunks.wide_columns)
        feed_forward -= sizes[layer.intermediate.weight] * (parts - 1) // parts
    return max(projections, feed_forward)
