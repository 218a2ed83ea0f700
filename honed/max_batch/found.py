"""What a search for the largest batch found, as the Record keeps it under `passes.max_batch`."""

from __future__ import annotations

from dataclasses import dataclass

from honed.plain import from_plain
from honed.record import Record

NAME = "max_batch"  # of the workload, and of the entry in the Record


@dataclass(frozen=True, slots=True)
class Try:
    """One batch size, tried in a process of its own.

    peak_bytes: anonymous memory at its peak, of all instances; None where the process was ended.
    predicted_bytes: what was expected of `peak_bytes`; None where nothing could be expected.
    why: the reason if it does not fit.
    record: the id of the Record of this try.
    """

    batch_size: int
    fits: bool
    status: str
    peak_bytes: int | None
    predicted_bytes: int | None
    why: str
    record: str


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """`batch_size` fits (0: none does), `too_large` does not; sizes between were not tried.

    limited_by: how the kernel held the limit; empty where no try came so far as to read it back.
    predicted: the batch size that was expected; None without a prediction.
    predicted_from: "traced" or "closed form": how plan knew what another sequence adds.
    alone: one sequence (in each part, where gradients are accumulated), measured under 80 % of the
        free memory, which the prediction starts from.
    """

    batch_size: int
    too_large: int | None
    limit_bytes: int
    limited_by: str
    predicted: int | None
    predicted_from: str
    alone: Try
    tries: tuple[Try, ...]


def largest_batch(record: Record) -> LargestBatch | None:
    """What the search found; None for the Record of anything else."""
    data = (record.passes or {}).get(NAME)
    return None if data is None else from_plain(LargestBatch, data)
