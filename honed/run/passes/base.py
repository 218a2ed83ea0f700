"""What every pass file offers: what it needs, what it does in a worker, and what is made of it.

A workload lists the passes of its Cases; `passes=NAME+NAME` adds others to a Case. A pass that
fills no field of the Record stores `Merged.recorded`, a dataclass of its own file, under its name
in `Record.passes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

import honed.discovery
from honed.backends.base import Backend, Step
from honed.case import Case
from honed.errors import UsageError, nearest
from honed.instruments.barrier import Barrier
from honed.machine.interference import Watch
from honed.models.inputs import InputSet
from honed.phase import OnPhase
from honed.plain import from_plain, to_plain
from honed.record import Accuracy, Doubt, Fidelity, InputFacts, Memory, Metrics, Samples
from honed.run.job import Job, Prepared
from honed.run.needs import Need
from honed.run.warmup import Warmup
from honed.workers.seat import Seat
from honed.workloads.base import load_workload

_ROOM = "honed.run.passes"
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One loaded instance, as the passes of a worker see it. `timed` are the places of the batches
    that are timed, of all that are fed."""

    job: Job
    backend: Backend
    step: Step
    inputs: InputSet
    feeds: Sequence[Any]
    warmup: Warmup
    on_phase: OnPhase
    timed: Sequence[int]
    # How many calls the passes made, by the name of the knob that asks for a number of calls.
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        return self.job.case

    def barrier(self, name: str) -> Barrier:
        """One of the pass's BARRIERS, as this instance sees it."""
        assert self.job.barriers is not None
        return Barrier.open(self.job.barriers / name, self.job.seat.index)

    def wait(self, name: str) -> None:
        """Wait there until every instance has come."""
        with self.barrier(name) as barrier:
            barrier.arrive_and_wait(self.case.timeout_s)


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What loading cost one instance, and the knobs that the kernel refused to it."""

    import_s: float
    build_s: float
    load_s: float
    first_call_s: float | None  # None: the first call is the first one measured
    weights_bytes: int | None
    baseline_bytes: int
    load_peak_bytes: int | None
    refused: tuple[Doubt, ...] = ()
    load_anon_peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one instance sends back; `parts` holds each pass's Part by the pass's name."""

    load: LoadFacts
    parts: Mapping[str, Any]

    def __to_plain__(self) -> dict[str, Any]:
        return {"load": to_plain(self.load), "parts": to_plain(self.parts)}

    @classmethod
    def __from_plain__(cls, data: Mapping[str, Any]) -> Measured:
        parts = {name: from_plain(load_pass(name).Part, p) for name, p in data["parts"].items()}
        return cls(from_plain(LoadFacts, data["load"]), parts)


@dataclass(frozen=True, slots=True)
class Gathered(Generic[P]):
    """What all instances sent, as `merge` of one pass sees it; in the order of the seats."""

    case: Case
    prepared: Prepared
    seats: Sequence[Seat]
    loads: Sequence[LoadFacts]
    parts: Sequence[P]
    watch: Watch
    machine: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a pass adds to the Record.

    `diverged` are sentences that make its status "diverged", `unproven` those that make it
    "unproven".
    """

    doubts: tuple[Doubt, ...] = ()
    diverged: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    effective: tuple[Mapping[str, Any], ...] | None = None
    inputs: InputFacts | None = None
    samples: Samples | None = None
    metrics: Metrics | None = None
    memory: Memory | None = None
    fidelity: Fidelity | None = None
    neighbour_cosine_min: float | None = None  # a field of the Record's fidelity
    by_kind: Mapping[str, int] | None = None  # a field of the Record's memory
    accuracy: Accuracy | None = None
    recorded: Any = None


class Pass(Protocol):
    """The names that a pass file defines."""

    NEEDS: tuple[Need, ...]  # made before any worker of the Case starts
    BARRIERS: tuple[str, ...]  # where its instances wait for each other
    Part: Any  # the frozen dataclass that `work` returns

    def work(self, loaded: Loaded) -> Any:
        """Measure one instance, in its worker. None: this instance has nothing to say."""

    def merge(self, gathered: Gathered[Any]) -> Merged:
        """What all instances' parts come to, in the parent. Parts of None are left out."""


def load_pass(name: str) -> Pass:
    return cast(Pass, honed.discovery.load(_ROOM, name, Pass))


def pass_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def passes_of(case: Case) -> dict[str, Pass]:
    """The passes of the Case by name, in the order in which they run.

    Raises UsageError for one that does not exist.
    """
    extra = case.passes.split("+") if case.passes else []
    for name in extra:
        if name not in pass_names():
            raise UsageError(f"no pass is called {name!r}", nearest(name, pass_names()))
    names = dict.fromkeys([*load_workload(case.workload).PASSES, *extra])
    return {name: load_pass(name) for name in names}
