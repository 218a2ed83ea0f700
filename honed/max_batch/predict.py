"""Where a search starts: the measured memory of one sequence, and what plan says of the others.

For a forward pass, plan's trace and the footprint in the backend's file say what each further
sequence adds, as for a deployment. For training steps, which only torch runs, whole steps are
traced. The phase that adds most decides, even where another phase has the higher peak, because the
C library keeps a part of what each phase took.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from honed.backends.base import load_backend
from honed.case import Case
from honed.errors import HonedError
from honed.models.checkpoint import ModelRequest
from honed.plan import answer
from honed.plan.deployment_answer import portions_of
from honed.plan.deployment_sizes import Sizer
from honed.plan.device import Device
from honed.plan.max_batch import most
from honed.plan.of_case import settings_of
from honed.plan.predict import Planner
from honed.plan.settings import Settings
from honed.timeline import StepPhase, Timeline
from honed.workloads.max_batch import MODE, parts_of_batch, workload_of_try

_FIT = (2, 8)  # batch sizes whose memory is traced
# What a process holds more with each sequence of a training step, over what the tensors of a phase
# do: MiniLM in fp32 with 1, 6 and 9 sequences of 128 tokens.
_KEPT = 1.3
_TRACED = "torch"  # plan traces the code of models in torch


@dataclass(frozen=True, slots=True)
class Growth:
    """The memory of one instance at each batch size, by plan; only differences count."""

    source: str
    instance_bytes: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Expectation:
    """The memory of all instances at each batch size: `alone_bytes`, which they took with one
    sequence in each, and what plan says that the others add."""

    growth: Growth
    alone_bytes: int
    instances: int

    def peak_bytes(self, batch_size: int) -> int:
        """The expected peak of all instances together."""
        more = self.growth.instance_bytes(batch_size) - self.growth.instance_bytes(1)
        return self.alone_bytes + self.instances * more

    def most(self, limit_bytes: int) -> int:
        """The largest batch size that is expected to fit; 0 if none is."""
        return most(lambda batch_size: self.peak_bytes(batch_size) <= limit_bytes)[0]


def growth(case: Case) -> Growth | None:
    """What plan knows of the Case at every batch size; None for engines and models that it cannot
    trace or estimate."""
    if load_backend(case.backend).REFERENCE != _TRACED:
        return None
    try:
        planner = Planner(answer.subject(ModelRequest.from_case(case)), Device("cpu"))
        if case.get(MODE.name) == "train":
            return _of_training(planner, case)
        return _of_engine(planner, case)
    except HonedError:
        return None


def _of_engine(planner: Planner, case: Case) -> Growth:
    """Private memory of a forward pass. Two batch sizes give all others except one sequence, whose
    tensors torch often views where it copies those of several."""
    sizer = Sizer(planner)

    def private_bytes(batch_size: int) -> int:
        asked = case.replace(batch_size=batch_size, total_batch=None)
        portions, _ = portions_of(asked, sizer.of(asked))
        return sum(p.size_bytes for p in portions if not p.is_mapped and p.when != "loading")

    one, few, many = (private_bytes(n) for n in (1, *_FIT))
    each = (many - few) / (_FIT[1] - _FIT[0])
    settings = Settings(sequence_length=case.sequence_length, device="cpu")
    source = planner.predict(settings).source
    return Growth(source, lambda n: one if n == 1 else int(few + each * (n - _FIT[0])))


def _of_training(planner: Planner, case: Case) -> Growth | None:
    """The tensors of training steps. Compiled steps are taken for eager ones, which hold no less;
    of a batch that gradients are accumulated over, one part is in memory at a time."""
    parts, dropped = parts_of_batch(case), dict.fromkeys((MODE.name, "torch.mode"))
    step = case.replace(workload=workload_of_try(case), batch_size=parts, total_batch=None)
    settings = settings_of(step.replace(knobs=dropped))
    if settings is None:
        return None
    cells = planner.cells(settings)

    def traced(batch_size: int) -> int:
        one, many = (_peaks(cells.timeline(max(1, n // parts))) for n in (1, batch_size))
        grown = max(many[phase] - one[phase] for phase in one)
        return max(one.values()) + int(_KEPT * grown)

    def estimated(batch_size: int) -> int:
        asked = dataclasses.replace(settings, batch_size=max(1, batch_size // parts))
        return int(_KEPT * planner.predict(asked).allocated_peak_bytes)

    source = planner.predict(settings).source
    return Growth(source, traced if source == "traced" else estimated)


def _peaks(timeline: Timeline) -> dict[StepPhase, int]:
    """The bytes of tensors at the peak of each phase."""
    peaks = {phase: timeline.peak(phase) for phase in StepPhase}
    return {phase: peak.size_bytes for phase, peak in peaks.items() if peak is not None}
