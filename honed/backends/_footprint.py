"""What one process of an engine holds of a model: the numbers that a backend file gives to
`honed plan`, which adds what the engine takes without a model.

A backend file may define `footprint(case, model) -> Sequence[Portion]`. Without it the plan
assumes `copied`, and says so.
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
# The kernel maps so many bytes around a page that is touched, if the file is in its page cache:
# fault_around_bytes in mm/memory.c.
_FAULT_AROUND_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """The sizes of a model and of one call.

    `matrices`, `tables` and `others` count the weights of linear layers, of embeddings, and all
    others. A matrix that is tied to a table counts in both, and in `tied`. `unused` weights are
    stored, but no output depends on them. `largest` is the largest matrix or table.
    `layers`, `hidden`, `intermediate` and `heads` are those of an encoder layer.
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
    hidden: int
    intermediate: int
    heads: int
    batch_size: int
    sequence_length: int
    activation_bytes: int

    @property
    def parameters(self) -> int:
        """The used weights, each once."""
        return self.matrices + self.tables + self.others - self.tied

    @property
    def tokens(self) -> int:
        return self.batch_size * self.sequence_length

    @property
    def states_bytes(self) -> int:
        """One hidden tensor of all tokens in fp32."""
        return 4 * self.tokens * self.hidden

    @property
    def wide_bytes(self) -> int:
        """The wide tensor of the feed-forward in fp32."""
        return 4 * self.tokens * self.intermediate

    @property
    def scores_bytes(self) -> int:
        """The attention scores of one layer, all heads, in fp32."""
        return 4 * self.tokens * self.sequence_length * self.heads

    def touched_bytes(self, element_bytes: float = 4) -> int:
        """How much of the mapped tables calls read: the pages around the row of each token. Every
        token is taken for another word, so that this is an upper bound for real texts."""
        table = int(self.tables * element_bytes)
        return min(table, self.tokens * _FAULT_AROUND_BYTES)


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of what one process holds.

    `is_mapped`: pages of a file, which all instances share and which the kernel may take back and
    read again; other bytes are the process's own.
    `is_read`: with `is_mapped`, whether each call reads these pages.
    """

    name: Literal["weights", "activations", "workspace", "loading"]
    size_bytes: int
    why: str
    when: When = "held"
    is_mapped: bool = False
    is_read: bool = True


def copied(case: Case, model: ModelSizes) -> Sequence[Portion]:
    """What most engines do: every weight is a private copy in the precision of the products, and
    while it loads, the largest exists once more."""
    size = int(model.parameters * BYTES[case.precision])
    return (
        Portion("weights", size, f"a copy of each weight in {case.precision}"),
        Portion("loading", 4 * model.largest, "the largest weight in fp32", "loading"),
        Portion("activations", model.activation_bytes, "as in torch, in fp32", "calling"),
    )
