"""Where a search starts: what one more sequence takes by plan, on top of what one takes here.

Plan knows the tensors of a call. What the process holds beside them (the interpreter, the engine,
how it keeps weights) is measured, with one sequence and without a limit. Tensors of other engines
are taken for those of torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from honed.backends.base import load_backend
from honed.case import Case
from honed.errors import HonedError, ModelError
from honed.models.checkpoint import ModelRequest
from honed.plan import answer, closed_form
from honed.plan.device import Device
from honed.plan.max_batch import most
from honed.plan.predict import Planner
from honed.plan.replay import replay
from honed.plan.settings import Loop, Optimizer, Settings
from honed.plan.tracing import UntraceableError

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
_LOOPS: Mapping[str, Loop] = {"loop": "for_loop", "foreach": "foreach", "fused": "fused"}
_TRACED = "torch"  # plan traces the code of models in torch


@dataclass(frozen=True, slots=True)
class Growth:
    """The tensors of one instance at each batch size, by plan."""

    source: str
    tensor_bytes: Callable[[int], int]

    def peak_bytes(self, alone_bytes: int, batch_size: int, instances: int) -> int:
        """All instances at `batch_size`, where one sequence in each takes `alone_bytes`."""
        more = self.tensor_bytes(batch_size) - self.tensor_bytes(1)
        return alone_bytes + instances * more

    def most(self, alone_bytes: int, limit_bytes: int, instances: int) -> int:
        """The largest batch size that is expected to fit; 0 if none is."""
        return most(lambda n: self.peak_bytes(alone_bytes, n, instances) <= limit_bytes)[0]


def growth(case: Case) -> Growth | None:
    """What plan knows of the Case at every batch size; None where it knows nothing."""
    if load_backend(case.backend).REFERENCE != _TRACED:
        return None
    try:
        subject = answer.subject(ModelRequest.from_case(case))
    except HonedError:
        return None
    settings = settings_of(case)
    device = Device("cpu", context_bytes=0)
    cells = Planner(subject, device).cells(settings)

    def traced(batch_size: int) -> int:
        return replay(
            cells.timeline(batch_size), device.allocator(limited=False)
        ).allocated_peak_bytes

    def estimated(batch_size: int) -> int:
        asked = dataclasses.replace(settings, batch_size=batch_size)
        return closed_form.estimate(subject.config, subject.task, asked).peak_bytes

    try:
        traced(1), traced(2)
    except UntraceableError:
        try:
            estimated(1)
        except ModelError:
            return None
        return Growth("closed form", estimated)
    except HonedError:
        return None
    return Growth("traced", traced)


def settings_of(case: Case) -> Settings:
    """The Case in plan's words."""
    trains = case.get("mode") == "train"
    narrow = _DTYPES.get(case.precision)
    loop = _LOOPS[str(case.get("optimizer_kernel") or "foreach")]
    chosen = Optimizer(
        "sgd" if case.get("optimizer") == "sgd" else "adamw",
        loop,
        accumulation=int(case.get("accumulation_steps") or 1),
    )
    return Settings(
        mode="train" if trains else "infer",
        sequence_length=case.sequence_length,
        dtype="float32" if trains or narrow is None else narrow,
        autocast=narrow if trains else None,
        device="cpu",
        checkpointing=trains and case.get("checkpointing") == "blocks",
        optimizer=chosen if trains else Optimizer(),
    )
