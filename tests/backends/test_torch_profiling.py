"""Profiles of a GPU, from events as torch's profiler lists them: an operator takes as long as its
kernels, and the backward pass runs in a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from honed.backends.torch.profiling import _events
from honed.profile import BETWEEN, merged, rows_of

pytestmark = pytest.mark.engine
CALLER, BACKWARD_THREAD = 1, 2


@dataclass(frozen=True)
class Event:
    """The part of torch's `_KinetoEvent` that is read. Times are in nanoseconds; `number` is the
    correlation id, and a kernel is linked to the operator of that number."""

    title: str
    began: int
    ended: int
    number: int = 0
    thread: int = CALLER
    device: str = "DeviceType.CPU"
    sequence: int = -1
    inputs: tuple[tuple[int, ...], ...] = ()
    is_range: bool = False

    def __getattr__(self, method: str) -> Any:
        linked = self.number if "CUDA" in self.device else 0
        read = {
            "name": self.title, "start_ns": self.began, "end_ns": self.ended,
            "correlation_id": self.number, "linked_correlation_id": linked,
            "start_thread_id": self.thread, "device_type": self.device,
            "sequence_nr": self.sequence, "shapes": self.inputs,
            "dtypes": ["float"] * len(self.inputs), "is_user_annotation": self.is_range,
        }  # fmt: skip
        return lambda: read[method]


def kernel(began: int, ended: int, number: int) -> Event:
    return Event("sgemm", began, ended, number, device="DeviceType.CUDA")


STEP = (
    Event("honed.", 0, 1000, 1),
    Event("honed.", 0, 5000, 1, device="DeviceType.CUDA", is_range=True),  # its copy on the GPU
    Event("honed.forward", 0, 400, 2),
    Event("honed.module:layers.0.mlp", 10, 100, 3),
    Event("aten::mm", 20, 60, 4, sequence=7, inputs=((2, 3), (3, 4))),
    Event("cudaLaunchKernel", 30, 40, 5),
    kernel(100, 390, 4),
    Event("honed.backward", 400, 1000, 6),
    Event("autograd::engine::evaluate_function: MmBackward0", 450, 700, 7, BACKWARD_THREAD,
          sequence=7),
    Event("aten::mm", 500, 600, 8, BACKWARD_THREAD, inputs=((2, 4), (4, 3))),
    kernel(600, 750, 8),
    kernel(750, 980, 8),
)  # fmt: skip


def test_an_operator_takes_as_long_as_its_kernels_and_a_phase_is_idle_between_them() -> None:
    events = _events(STEP)
    found = [(e.op, e.module, e.phase, round(e.self_s * 1e9), e.flops) for e in events]
    assert found == [
        (BETWEEN, "", "forward", 110, None),
        ("aten::mm", "layers.0.mlp", "forward", 290, 48),
        (BETWEEN, "", "backward", 220, None),
        ("aten::mm", "layers.0.mlp", "backward", 380, 48),
    ]


def test_the_shares_of_a_gpu_add_up_to_the_call() -> None:
    events = _events(STEP)
    whole_s = sum(event.self_s for event in events)
    assert whole_s == pytest.approx(1000e-9)
    rows = merged(rows_of(events, whole_s), "op")
    assert [(row.op, round(row.share, 3)) for row in rows] == [("aten::mm", 0.67), (BETWEEN, 0.33)]


def test_without_kernels_an_operator_takes_as_long_as_on_the_cpu() -> None:
    on_cpu = [e for e in STEP if e.device == "DeviceType.CPU" and e.thread == CALLER]
    found = {(e.op, e.phase): round(e.self_s * 1e9) for e in _events(on_cpu)}
    assert found["aten::mm", "forward"] == 30
    assert found["cudaLaunchKernel", "forward"] == 10
    assert found[BETWEEN, "backward"] == 600
