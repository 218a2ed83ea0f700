"""Where a search starts: what one more sequence takes by plan, on top of what one takes here.

What a process holds with one sequence is measured. What a forward pass adds for each other one is
told by plan's trace and by the footprint of the backend's file, as for a deployment. Training
steps are traced whole, because torch alone runs them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.backends.base import load_backend
from honed.case import Case
from honed.errors import HonedError
from honed.models.checkpoint import ModelRequest
from honed.plan import answer
from honed.plan.deployment_answer import portions_of
from honed.plan.deployment_sizes import Sizer
from honed.plan.device import Device
from honed.plan.max_batch import most
from honed.plan.predict import Planner
from honed.plan.replay import replay
from honed.plan.settings import Loop, Optimizer, Settings
from honed.workloads.max_batch import MODE

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
_LOOPS: Mapping[str, Loop] = {"loop": "for_loop", "foreach": "foreach", "fused": "fused"}
_FIT = (2, 8)  # batch sizes whose memory is traced
_TRACED = "torch"  # plan traces the code of models in torch


@dataclass(frozen=True, slots=True)
class Growth:
    """The memory of one instance at each batch size, by plan; only differences count."""

    source: str
    instance_bytes: Callable[[int], int]

    def peak_bytes(self, alone_bytes: int, batch_size: int, instances: int) -> int:
        """All instances at `batch_size`, where one sequence in each takes `alone_bytes`."""
        more = self.instance_bytes(batch_size) - self.instance_bytes(1)
        return alone_bytes + instances * more

    def most(self, alone_bytes: int, limit_bytes: int, instances: int) -> int:
        """The largest batch size that is expected to fit; 0 if none is."""
        return most(lambda n: self.peak_bytes(alone_bytes, n, instances) <= limit_bytes)[0]


def growth(case: Case) -> Growth | None:
    """What plan knows of the Case at every batch size; None where it knows nothing."""
    if load_backend(case.backend).REFERENCE != _TRACED:
        return None
    try:
        planner = Planner(answer.subject(ModelRequest.from_case(case)), Device("cpu"))
        if case.get(MODE.name) == "train":
            return _of_training(planner, training_settings(case))
        return _of_engine(planner, case)
    except HonedError:
        return None


def _of_engine(planner: Planner, case: Case) -> Growth:
    """Private memory of a forward pass. Two sizes give all others but one, whose tensors torch
    views where it copies those of more."""
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


def _of_training(planner: Planner, settings: Settings) -> Growth:
    cells = planner.cells(settings)

    def traced(batch_size: int) -> int:
        allocator = planner.device.allocator(limited=False)
        return replay(cells.timeline(batch_size), allocator).allocated_peak_bytes

    def estimated(batch_size: int) -> int:
        asked = dataclasses.replace(settings, batch_size=batch_size)
        return planner.predict(asked).allocated_peak_bytes

    source = planner.predict(settings).source
    return Growth(source, traced if source == "traced" else estimated)


def training_settings(case: Case) -> Settings:
    """A Case of training steps in plan's words. Weights are fp32; 16 bits are autocast."""
    checkpointing: Any = case.get("checkpointing") or "off"
    update = Optimizer(
        "sgd" if case.get("optimizer") == "sgd" else "adamw",
        _LOOPS[str(case.get("optimizer_kernel") or "foreach")],
        accumulation=int(case.get("accumulation_steps") or 1),
    )
    return Settings(
        mode="train",
        sequence_length=case.sequence_length,
        autocast=_DTYPES.get(case.precision),
        device="cpu",
        checkpointing=checkpointing,
        optimizer=update,
    )
