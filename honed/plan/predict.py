"""From a subject, settings and a device to a prediction: one cell of a plan."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from honed.errors import HonedError, ModelError
from honed.plan import closed_form, tracing
from honed.plan.device import Device
from honed.plan.max_batch import Cells, largest_batch, most
from honed.plan.prediction import MaxBatch, PeakAt, Prediction
from honed.plan.replay import Family, replay
from honed.plan.settings import Settings
from honed.plan.tracing import Modules, Subject, Trace, UntraceableError
from honed.timeline import MemoryKind, StepPhase, Timeline


@dataclass(slots=True)
class Planner:
    """Answers for one model on one device; traces are kept, so that each is made once."""

    subject: Subject
    device: Device
    traces: dict[Settings, Trace] = field(default_factory=dict)
    modules: Modules = field(default_factory=dict, repr=False)

    def predict(self, settings: Settings, *, max_batch: bool = False) -> Prediction:
        """The prediction. If the model cannot be traced, it is a closed-form estimate instead."""
        try:
            trace = self.trace(settings)
        except UntraceableError as error:
            return self._estimated(settings, error, max_batch=max_batch)
        timeline = self.device.with_workspaces(trace.timeline)
        prediction = _prediction(self.subject, settings, trace, timeline, self.device)
        if max_batch:
            prediction = dataclasses.replace(prediction, max_batch=self.max_batch(settings))
        return prediction

    def max_batch(self, settings: Settings) -> MaxBatch:
        """The largest batch size that fits the device."""
        return largest_batch(self.cells(settings), self.device)

    def cells(self, settings: Settings, *, like: Family | None = None) -> Cells:
        """The timelines of these settings at every batch size, with workspaces. `like` is the
        family of another length."""

        def timeline(batch_size: int) -> Timeline:
            trace = self.trace(dataclasses.replace(settings, batch_size=batch_size))
            return self.device.with_workspaces(trace.timeline)

        return Cells(timeline, settings.batch_size, like=like)

    def trace(self, settings: Settings) -> Trace:
        if settings not in self.traces:
            self.traces[settings] = tracing.trace(self.subject, settings, self.modules)
        return self.traces[settings]

    def _estimated(self, settings: Settings, error: HonedError, *, max_batch: bool) -> Prediction:
        try:
            found = self._formulas(settings)
        except ModelError as missing:
            raise ModelError(f"{error.message}; {missing.message}", missing.hint) from None
        usable = self.device.usable_bytes
        return Prediction(
            settings,
            self.subject.name,
            self.subject.task,
            source="closed form",
            parameters=found.parameters,
            weights_bytes=found.weights_bytes,
            # Formulas know nothing of the allocator.
            requested_peak_bytes=found.peak_bytes,
            allocated_peak_bytes=found.peak_bytes,
            reserved_peak_bytes=found.peak_bytes,
            by_kind=found.by_kind,
            peak_at=PeakAt("", "", ""),
            capacity_bytes=self.device.capacity_bytes,
            context_bytes=self.device.context_bytes,
            fits=None if usable is None else found.peak_bytes <= usable,
            max_batch=self._estimated_most(settings) if max_batch else None,
            why=error.message,
        )

    def _estimated_most(self, settings: Settings) -> MaxBatch:
        """The largest batch size by formulas, which name no allocation."""
        usable = self.device.usable_bytes
        assert usable is not None, "a largest batch needs a device with a size"

        def peak(batch_size: int) -> int:
            return self._formulas(dataclasses.replace(settings, batch_size=batch_size)).peak_bytes

        low, high = most(lambda batch_size: peak(batch_size) <= usable)
        held = peak(low) if low else 0
        return MaxBatch(low, usable - held, None, is_bound=high is None)

    def _formulas(self, settings: Settings) -> closed_form.Estimate:
        return closed_form.estimate(self.subject.config, self.subject.task, settings)


def _prediction(
    subject: Subject, settings: Settings, trace: Trace, timeline: Timeline, device: Device
) -> Prediction:
    usage = replay(timeline, device.allocator(limited=False))
    limited = None
    if device.usable_bytes is not None:
        limited = replay(timeline, device.allocator(limited=True))
    by_kind, peak_at = _at(timeline, usage.tick)
    return Prediction(
        settings,
        subject.name,
        subject.task,
        source="traced",
        parameters=trace.parameters,
        weights_bytes=trace.weights_bytes,
        requested_peak_bytes=usage.requested_peak_bytes,
        allocated_peak_bytes=usage.allocated_peak_bytes,
        reserved_peak_bytes=usage.reserved_peak_bytes,
        by_kind=by_kind,
        peak_at=peak_at,
        capacity_bytes=device.capacity_bytes,
        context_bytes=device.context_bytes,
        fits=None if limited is None else limited.failure is None,
        failure=None if limited is None else limited.failure,
        phases=_phases(timeline),
        after_bytes=usage.end_allocated_bytes,
        timeline=timeline,
    )


def _at(timeline: Timeline, tick: int) -> tuple[dict[str, int], PeakAt]:
    """The requested bytes by kind after a tick, and what was allocated last until then."""
    by_kind = dict.fromkeys((str(kind) for kind in MemoryKind), 0)
    newest = None
    for block in timeline.at(tick):
        by_kind[block.kind] += block.size_bytes
        newest = block if newest is None or block.born >= newest.born else newest
    if newest is None:
        return by_kind, PeakAt("", "", "")
    return by_kind, PeakAt(newest.op, newest.module, newest.phase)


def _phases(timeline: Timeline) -> dict[str, int]:
    """The requested peak of each phase that there is."""
    peaks = {phase: timeline.peak(phase) for phase in StepPhase}
    return {str(phase): peak.size_bytes for phase, peak in peaks.items() if peak is not None}
