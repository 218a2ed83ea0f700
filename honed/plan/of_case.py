"""What a Case will take, before it is measured: the plan of the same call on the same device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from honed.case import Case
from honed.models.checkpoint import ModelRequest
from honed.plan.answer import subject
from honed.plan.device import parse_device
from honed.plan.predict import Planner
from honed.plan.question import types
from honed.plan.settings import TRAINING_STEPS, Optimizer, Settings
from honed.plan.tracing import UntraceableError
from honed.step import OPTIMIZER, PHASES, StepKind
from honed.timeline import StepPhase, Timeline
from honed.workloads.base import load_workload

_TRACED = Case(model="any").backend  # the backend whose modules are traced
_PRECISIONS = ("fp32", "bf16", "fp16")
_LOOPS = {"loop": "for_loop", "foreach": "foreach", "fused": "fused"}


@dataclass(frozen=True, slots=True)
class Expected:
    """`peak_bytes` is that of one call after the first, as `honed memory` measures it;
    `most_bytes` that of all calls. `timeline` is of the one call."""

    peak_bytes: int
    most_bytes: int
    weights_bytes: int
    timeline: Timeline


@dataclass(slots=True)
class Planners:
    """One for each model; a model that is planned again is not traced again."""

    planners: dict[ModelRequest, Planner] = field(default_factory=dict)

    def expect(self, case: Case) -> Expected | None:
        """None where a plan does not know the call: other engines and precisions, compiled code,
        kernels alone."""
        settings = settings_of(case)
        if settings is None:
            return None
        request = ModelRequest.from_case(case)
        if request not in self.planners:
            self.planners[request] = Planner(subject(request), parse_device(case.device))
        try:
            trace = self.planners[request].trace(settings)
        except UntraceableError:
            return None
        call = _one_call(trace.timeline, case)
        return Expected(_peak(call), _most(trace.timeline, case), trace.weights_bytes, call)


def settings_of(case: Case) -> Settings | None:
    """The settings of the plan; None where it does not know the call."""
    kind = load_workload(case.workload).STEP
    mode = case.get("torch.mode") or "eager"
    unknown = (
        case.backend != _TRACED or case.precision not in _PRECISIONS or mode != "eager"
        or kind not in (StepKind.FORWARD, StepKind.TRAINING) or case.lengths or case.inputs
    )  # fmt: skip
    if unknown:
        return None
    trains = kind is StepKind.TRAINING
    dtype, autocast = types(case, "train" if trains else "infer")
    attention: Any = case.get("torch.attention") or "auto"
    if case.get("torch.compiled_attention") == "on":
        attention = "eager"  # compiled code keeps at most as many tensors
    parts = int(case.get("accumulation_steps") or 1) if trains else 1
    device: Any = case.device
    checkpointing: Any = case.get("checkpointing") or "off"
    return Settings(
        mode="train" if trains else "infer", batch_size=case.batch_size // parts,
        sequence_length=case.sequence_length, dtype=dtype, autocast=autocast,
        attention=attention, device=device,
        checkpointing=checkpointing,
        optimizer=_optimizer(case, parts) if trains else Optimizer(),
    )  # fmt: skip


def _optimizer(case: Case, parts: int) -> Optimizer:
    """torch updates tensors on a CPU one after the other unless it is told otherwise."""
    kernel = case.get("optimizer_kernel") or ("foreach" if case.device == "cuda" else "loop")
    rule: Any = case.get("optimizer") or "adamw"
    loop: Any = _LOOPS[str(kernel)]
    return Optimizer(rule, loop, accumulation=parts)


def _one_call(timeline: Timeline, case: Case) -> Timeline:
    """The last step, which finds the state of the optimizer; where the optimizer does not run, the
    phases of the first step that do."""
    if not any(span.phase is StepPhase.BACKWARD for span in timeline.spans):
        return timeline
    until = str(case.get("until") or OPTIMIZER)
    step = TRAINING_STEPS - 1 if until == OPTIMIZER else 0
    run = PHASES[: PHASES.index(until) + 1]
    spans = [span for span in timeline.spans if span.step == step and span.phase in run]
    return timeline.between(min(s.begin for s in spans), max(s.end for s in spans))


def _most(timeline: Timeline, case: Case) -> int:
    until = case.get("until")
    ends_early = until is not None and until != OPTIMIZER
    return _peak(_one_call(timeline, case) if ends_early else timeline)


def _peak(timeline: Timeline) -> int:
    peak = timeline.peak()
    return 0 if peak is None else peak.size_bytes
