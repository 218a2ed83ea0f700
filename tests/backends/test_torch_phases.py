"""Phases on a GPU: the device's clock, synchronised boundaries, ranges for NVIDIA's profilers.
Without a GPU here, torch.cuda is replaced by a recorder whose device is slower than its host."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from honed.backends.torch import phases

pytestmark = pytest.mark.engine
DEVICE_MS = 50_000.0  # between any two events: far from what a test takes


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import torch

    calls: list[str] = []

    @contextlib.contextmanager
    def as_range(name: str) -> Iterator[None]:
        calls.append(f"> {name}")
        yield
        calls.append(f"< {name}")

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            calls.append("event")

        def elapsed_time(self, _: Event) -> float:
            assert calls[-1] == "synchronize", "an event has no time before the device reached it"
            return DEVICE_MS

    monkeypatch.setattr(torch.cuda.nvtx, "range", as_range)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("synchronize"))
    return calls


def test_each_phase_is_a_range_that_ends_after_the_device_has_finished(heard: list[str]) -> None:
    clock = phases.PhaseClock("cuda")
    for name in ("forward", "backward"):
        with clock.phase(name):
            heard.append("work")
    assert heard == [
        "event", "> honed.forward", "work", "event", "synchronize", "< honed.forward",
        "event", "> honed.backward", "work", "event", "synchronize", "< honed.backward",
    ]  # fmt: skip


def test_a_gpu_is_timed_by_its_events_and_a_phase_that_runs_twice_is_added_up(
    heard: list[str],
) -> None:
    clock = phases.PhaseClock("cuda")
    for name in ("forward", "backward", "forward"):
        with clock.phase(name):
            pass
    device_ns = int(DEVICE_MS * 1e6)
    assert clock.taken_ns == {"forward": 2 * device_ns, "backward": device_ns}
    assert heard.count("synchronize") == 3


def test_a_cpu_is_timed_by_its_host_and_has_no_ranges(heard: list[str]) -> None:
    clock = phases.PhaseClock("cpu")
    began_ns = time.perf_counter_ns()
    with clock.phase("forward"):
        time.sleep(0.002)
    assert 2_000_000 <= clock.taken_ns["forward"] <= time.perf_counter_ns() - began_ns
    assert heard == []
