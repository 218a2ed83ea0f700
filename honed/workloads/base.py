"""What every workload file offers. A workload calls a Step; it never knows which engine it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import honed.discovery
from honed.case import Case
from honed.knob import Knob, Value
from honed.models.checkpoint import Checkpoint
from honed.models.flops import forward_flops
from honed.step import StepKind

_ROOM = "honed.workloads"

Batch = Mapping[str, Any]  # name -> int64 numpy array [batch, length]


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each call began and ended, CLOCK_MONOTONIC nanoseconds, in order.

    `fed`: which of the feeds each call took; None: in turn. `phases_ns`: how long each part of
    each call took, for calls whose parts have times of their own (forward, backward, optimizer).

    Calls that overlap stand in the order of their ends. Open-loop traffic also tells how late each
    call was sent, how many were refused, and which were answered within the limit (None: none
    was set).
    """

    began_ns: Sequence[int]
    ended_ns: Sequence[int]
    fed: Sequence[int] | None = None
    phases_ns: Mapping[str, Sequence[int]] = field(default_factory=dict)
    late_ns: Sequence[int] = ()
    refused: int | None = None
    in_time: Sequence[bool] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the timed loop is entered and left.

    `begin` waits at the barrier; `others_done` says whether every sibling has what it needs
    (until then this instance keeps running, so that the siblings stay under load). Where inputs
    differ, `turn` calls see each once, and an instance has what it needs after whole turns only.
    `index` is the number of this instance.
    """

    case: Case
    begin: Callable[[], None]
    done: Callable[[], None]
    others_done: Callable[[], bool]
    turn: int = 1
    index: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What one call computes. None: not known, or it means nothing for this workload."""

    tokens: int | None = None
    useful_tokens: int | None = None
    flops: float | None = None
    bytes: float | None = None


class Workload(Protocol):
    """The names that a workload file defines."""

    KNOBS: tuple[Knob, ...]
    HELP: str
    STEP: StepKind  # what the backend is asked to load
    PASSES: tuple[str, ...]  # files of honed/run/passes, in the order in which they run

    def sample(self, call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
        """Call `call(feed)` as this traffic does, timing each call."""

    def work_per_call(
        self, case: Case, model: Checkpoint | None, batch: Batch, skips_padding: bool
    ) -> Work:
        """What a call with this batch computes; some engines skip the padding in it."""


def forward_work(model: Checkpoint | None, batch: Batch, skips_padding: bool) -> Work:
    """Of one forward pass. Padding is arithmetic too, unless the engine skips it."""
    real = [int(n) for n in batch["attention_mask"].sum(axis=1)]
    rows, width = batch["input_ids"].shape
    parts = [(1, length) for length in real] if skips_padding else [(rows, width)]
    flops: float | None = None if model is None else 0.0
    for count, length in parts:
        cost = (
            forward_flops(model.config, count, length, model.task, model.layers) if model else None
        )
        flops = None if cost is None or flops is None else flops + cost
    return Work(sum(count * length for count, length in parts), sum(real), flops)


def read_back(case: Case) -> Mapping[str, Value | None]:
    """The knobs that the last `sample` of this process used, where the workload notes them.

    A workload notes them in `USED`; the knobs of other workloads are read back by the step.
    """
    used: Mapping[str, Value | None] = getattr(load_workload(case.workload), "USED", {})
    return used


def exact_warmup(case: Case) -> int | None:
    """How many calls come before the measured ones; None: as many as make the times steady."""
    calls = case.get("warmup_steps")
    return None if calls is None else int(calls)


def load_workload(name: str) -> Workload:
    return cast(Workload, honed.discovery.load(_ROOM, name, Workload))


def workload_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)
