"""What one process of an engine holds of a model: the numbers that a backend file gives to
`honed plan`, which adds what the engine takes without a model.

A backend file may define `footprint(case, model) -> Sequence[Portion]`. Without it the plan
assumes `copied`, and says so. Factors in these files were found by looking at what processes held
at five shapes of two models; `python -m benchmarks.deployments` checks the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from honed.case import Case

# How long a portion is there: for ever, only while the model is loaded, or only during a call.
When = Literal["held", "loading", "calling"]
# Bytes of a weight by the precision of the products.
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5}
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """The sizes of a model and of one call.

    `matrices`, `tables` and `others` count the weights of linear layers, of embeddings, and all
    others. A matrix that is tied to a table counts in both, and in `tied`. `unused` weights are
    stored, but no output depends on them. `largest` is the largest matrix or table.
    `heads` are those of a layer's attention, `layers` its layers; 0 if config.json does not say.
    `activation_bytes` are the most tensors that are alive at once in a call beside the weights:
    torch's own code in fp32, with fused attention where the model has it.
    """

    matrices: int
    tables: int
    others: int
    tied: int
    unused: int
    largest: int
    layers: int
    heads: int
    batch_size: int
    sequence_length: int
    activation_bytes: int

    @property
    def parameters(self) -> int:
        """The used weights, each once."""
        return self.matrices + self.tables + self.others - self.tied

    @property
    def scores_bytes(self) -> int:
        """The attention scores of one layer, all heads, in fp32."""
        return 4 * self.batch_size * self.sequence_length**2 * self.heads


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of what one process holds.

    `is_mapped`: pages of a file, which all instances share and which the kernel may take back and
    read again; other bytes are the process's own.
    `is_read`: with `is_mapped`, whether each call reads these pages.
    An "unknown" portion has no size: `why` says what the engine does that nobody has looked at.
    """

    name: Literal["weights", "activations", "workspace", "loading", "unknown"]
    size_bytes: int
    why: str
    when: When = "held"
    is_mapped: bool = False
    is_read: bool = True


def unknown(what: str) -> Portion:
    return Portion("unknown", 0, what)


def copied(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """What most engines do: every weight is a private copy in the precision of the products, and
    while it loads, the largest exists once more."""
    size = int(model.parameters * BYTES[case.precision])
    return (
        Portion("weights", size, f"a copy of each weight in {case.precision}"),
        Portion("loading", 4 * model.largest, "the largest weight in fp32", "loading"),
        activations(model, 1.0),
    )


def activations(model: ModelSizes, factor: float, scores: float = 0.0) -> Portion:
    """The private memory of a call: `factor` times torch's tensors, and so many times the
    attention scores of a layer."""
    size = int(factor * model.activation_bytes + scores * model.scores_bytes)
    more = f" and {scores:g} times the scores of a layer" if scores else ""
    times = "" if factor == 1 else f"{factor:g} times "
    why = f"{times}the tensors of torch{more}, as its allocator holds them"
    return Portion("activations", size, why, "calling")


def biases_and_norms(model: ModelSizes) -> Portion:
    """In private memory, for engines that keep them in fp32 in every precision."""
    return Portion("weights", 4 * model.others, "biases and norms")


def read_once(size_bytes: int, what: str) -> Portion:
    """Pages of a mapped file that the engine copies while it loads, and leaves alone later."""
    why = f"{what} in the mapped file, read once"
    return Portion("weights", size_bytes, why, is_mapped=True, is_read=False)


def mapped_tables(model: ModelSizes, element_bytes: float) -> tuple[Portion, ...]:
    """Embeddings that stay in a mapped file. In time most rows are touched, with the pages around
    them; a call reads one page or so for each token."""
    size = int(model.tables * element_bytes)
    read = min(size, model.batch_size * model.sequence_length * _PAGE_BYTES)
    return (
        Portion("weights", read, "rows of embeddings, mapped", is_mapped=True),
        Portion("weights", size - read, "embeddings, mapped", is_mapped=True, is_read=False),
    )
