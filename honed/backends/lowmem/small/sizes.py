"""How much is in memory at once, and the choice within a memory budget."""

from __future__ import annotations

from dataclasses import dataclass

from honed.backends.lowmem.small.arithmetic import Temporaries
from honed.backends.lowmem.small.network import Network

_K = 1024
_FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the arrays.

    tokens: how many go through a layer together; a longer sequence does, whole, except in the
        feed-forward. Fewer tokens read the weights more often.
    panel: weights that a thread reads at once. A product packs its other operand once for each
        panel, so small ones take time.
    scores: numbers in a block of attention scores, which should fit into the second-level cache.
    """

    tokens: int = 512
    panel: int = 1024 * _K
    scores: int = 128 * _K


# The fastest first; each needs less memory than the one before.
LADDER = (
    Sizes(),
    Sizes(512, 512 * _K, 128 * _K),
    Sizes(512, 256 * _K, 64 * _K),
    Sizes(256, 128 * _K, 64 * _K),
    Sizes(128, 64 * _K, 32 * _K),
    Sizes(64, 32 * _K, 16 * _K),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The largest batch: its sequences, and tokens in each."""

    rows: int
    length: int


def panel_numbers(network: Network, threads: int, sizes: Sizes) -> int:
    """The weights that a thread reads at once: at least a row, at most its share of a matrix."""
    products = network.layers[0].products
    largest = max(product.outputs * product.inputs for product in products)
    widest = max(product.inputs for product in network.products)
    return max(widest, min(sizes.panel, -(-largest // threads)))


def score_numbers(sizes: Sizes, longest: int) -> int:
    """A block of scores: at least a row, at most all of a head."""
    return min(max(sizes.scores, longest), longest * longest)


def shared_numbers(network: Network, sizes: Sizes, rows: int) -> int:
    """What the queries, keys, values and context of a group share with its widened tokens."""
    return max(4 * rows * network.hidden, min(rows, sizes.tokens) * network.intermediate)


def needed_bytes(network: Network, threads: int, sizes: Sizes, shape: Shape) -> int:
    """All arrays of a call of this shape, without the vectors that are held and the outputs."""
    count = shape.rows * shape.length
    group = min(count, max(shape.length, sizes.tokens // shape.length * shape.length))
    window = panel_numbers(network, threads, sizes) * (_FLOAT + network.narrow_bytes)
    scores = score_numbers(sizes, shape.length) * _FLOAT
    of_threads = threads * (window + scores + Temporaries.nbytes)
    states = (count + group) * network.hidden + shared_numbers(network, sizes, group)
    return of_threads + states * _FLOAT


def sizes_within(network: Network, threads: int, shape: Shape, budget_bytes: int | None) -> Sizes:
    """The fastest sizes within the budget; the smallest if none are."""
    for sizes in LADDER:
        if budget_bytes is None or needed_bytes(network, threads, sizes, shape) <= budget_bytes:
            return sizes
    return LADDER[-1]
