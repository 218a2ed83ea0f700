"""Verification: the traced program, run for real on this CPU and measured in two ways.

The dispatcher's view counts the tensors that operators return, by the same log as the plan. The
allocator's view counts every byte that torch asks its CPU allocator for; it also has what kernels
take for themselves.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.errors import UsageError
from honed.models.checkpoint import Checkpoint
from honed.plan import tracing
from honed.plan.settings import Settings
from honed.plan.tracing import Subject
from honed.timeline import StepPhase, Timeline


@dataclass(frozen=True, slots=True)
class PhasePeaks:
    """Bytes at the peak of one phase, weights included."""

    predicted_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float:
        """The share by which the prediction is too large."""
        return self.predicted_bytes / self.measured_bytes - 1


@dataclass(frozen=True, slots=True)
class Verification:
    """`phases` are in the dispatcher's view; `whole` is the peak of all of them. `allocator_bytes`
    is the peak in the allocator's view of a second run, weights and inputs included."""

    settings: Settings
    model: str
    phases: Mapping[str, PhasePeaks]
    whole: PhasePeaks
    allocator_bytes: int


def verify(subject: Subject, settings: Settings) -> Verification:
    """Run `settings` on this CPU, in this process, and compare it with its prediction."""
    if settings.weights != "resident":
        raise UsageError(f"weights={settings.weights} cannot be verified", "weights=resident")
    settings = dataclasses.replace(settings, device="cpu")
    predicted = tracing.trace(subject, settings).timeline
    measured = measure(subject, settings)
    phases = {
        str(phase): PhasePeaks(_peak(predicted, phase), _peak(measured, phase))
        for phase in StepPhase
        if measured.peak(phase) is not None
    }
    whole = PhasePeaks(_peak(predicted), _peak(measured))
    return Verification(
        settings, subject.name, phases, whole, allocator_peak_bytes(subject, settings)
    )


def measure(subject: Subject, settings: Settings) -> Timeline:
    """The timeline of real tensors."""
    from honed.models.torch.tracer import Tracer

    tracer = Tracer()
    _run(subject, settings, tracer)
    return tracer.timeline()


def allocator_peak_bytes(subject: Subject, settings: Settings) -> int:
    """The most bytes that torch's CPU allocator gave out at once, by the profiler's log."""
    from torch.profiler import ProfilerActivity, profile

    from honed.models.torch.tracer import Tracer

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _run(subject, settings, Tracer())
    alive = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


def _run(subject: Subject, settings: Settings, tracer: Any) -> None:
    from honed.plan.program import Program

    module, head = _real(subject, settings)
    gc.collect(1)  # what an earlier run left; a full collection would search all of torch
    gc.disable()  # as in a trace: garbage in circles stays alive
    try:
        Program(module, head, subject.task, subject.input_names, settings).run(tracer)
    finally:
        gc.enable()


def _real(subject: Subject, settings: Settings) -> tuple[Any, Any]:
    from honed.models.torch.module import auto_class, configuration, frameworks, load_module
    from honed.plan.program import attention_name, with_head

    attention = attention_name(settings)
    if isinstance(subject.model, Checkpoint):
        module = load_module(subject.model, dtype=settings.dtype, attention=attention)
    else:
        options = {} if attention is None else {"attn_implementation": attention}
        with frameworks() as (torch, transformers):
            module = auto_class(transformers, subject.task).from_config(
                configuration(transformers, subject.model),
                dtype=getattr(torch, settings.dtype), **options,
            )  # fmt: skip
        module.config.use_cache = False
    return with_head(module, subject.task, subject.pooling, settings, subject.layers)


def _peak(timeline: Timeline, phase: StepPhase | None = None) -> int:
    peak = timeline.peak(phase)
    return 0 if peak is None else peak.size_bytes
