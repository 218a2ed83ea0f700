"""Prediction: what a plan answers, as data. Its keys in JSON are a contract for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from honed.plain import to_plain
from honed.plan.replay import Failure
from honed.plan.settings import Settings
from honed.timeline import Timeline


@dataclass(frozen=True, slots=True)
class PeakAt:
    """The operator that allocated last before the peak, the module that it ran in, and when."""

    op: str
    module: str
    phase: str


@dataclass(frozen=True, slots=True)
class MaxBatch:
    """The largest batch size that fits; 0 if not even one sequence does.

    `headroom_bytes` are left of the device at that batch size. `failure` is the first allocation
    that fails with one sequence more. `is_bound` is true where the search ended at its limit.
    """

    batch_size: int
    headroom_bytes: int
    failure: Failure | None
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes of one setting.

    source: "traced": the model's own code ran on fake tensors; "closed form": it could not be
        traced, `why` says why, and the numbers come from formulas that know neither lifetimes nor
        fragmentation.
    requested_peak_bytes: what tensors ask for. allocated_peak_bytes: with the allocator's rounding
        and unsplit remainders (torch.cuda.max_memory_allocated). reserved_peak_bytes: what the
        allocator holds (torch.cuda.max_memory_reserved). On a CPU the last two are equal.
    by_kind: the requested bytes at the peak of the allocated ones, by their use.
    context_bytes: what the CUDA context takes of the device beside the allocator; assumed.
    fits: whether it runs in capacity_bytes less the context; None without a capacity.
    phases: the requested peak of each phase.
    after_bytes: allocated at the end, with the outputs alive (no gradients of training steps).
    """

    settings: Settings
    model: str
    task: str
    source: Literal["traced", "closed form"]
    parameters: int
    weights_bytes: int
    requested_peak_bytes: int
    allocated_peak_bytes: int
    reserved_peak_bytes: int
    by_kind: Mapping[str, int]
    peak_at: PeakAt
    capacity_bytes: int | None = None
    context_bytes: int = 0
    fits: bool | None = None
    failure: Failure | None = None
    max_batch: MaxBatch | None = None
    phases: Mapping[str, int] | None = None
    after_bytes: int | None = None
    why: str = ""
    timeline: Timeline | None = None

    def to_json(self) -> dict[str, Any]:
        """One object; `max_batch` is the number alone, and the timeline is left out."""
        plain: dict[str, Any] = to_plain(dataclasses.replace(self, timeline=None))
        del plain["timeline"]
        plain["max_batch"] = None if self.max_batch is None else self.max_batch.batch_size
        plain["max_batch_details"] = None if self.max_batch is None else to_plain(self.max_batch)
        return plain
