"""Phases of a call: timed between synchronised boundaries, and visible to torch's profiler."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MARK = "honed."  # before the names of phases in the profiler


Around = Callable[[str], contextlib.AbstractContextManager[Any]]


def nvtx(device: str, name: str) -> contextlib.AbstractContextManager[Any]:
    """On a GPU, a range that NVIDIA's profilers show (`nsys profile honed run ...`)."""
    if device != "cuda":
        return contextlib.nullcontext()
    import torch

    return torch.cuda.nvtx.range(MARK + name)  # type: ignore[no-any-return]


def alone(_: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


class PhaseClock:
    """Sums the time of each phase of one call.

    A boundary waits until the device has finished, so that no work of one phase is counted in the
    next one. `around` makes a context around each phase, for those who watch a call.
    """

    def __init__(self, device: str, around: Around = alone) -> None:
        self.taken_ns: dict[str, int] = {}
        self._around = around
        self._device = device

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        import torch

        stop = start_clock(self._device)
        with (
            torch.profiler.record_function(MARK + name),
            nvtx(self._device, name),
            self._around(name),
        ):
            yield
            taken_ns = stop()
        self.taken_ns[name] = self.taken_ns.get(name, 0) + taken_ns


def start_clock(device: str) -> Callable[[], int]:
    """Start a clock. What it returns stops it, and gives the nanoseconds between.

    On a GPU both ends are events in its stream, so that the time is the device's; stopping waits
    for all of its work. A CPU has finished when the call returns.
    """
    if device != "cuda":
        began_ns = time.perf_counter_ns()
        return lambda: time.perf_counter_ns() - began_ns
    import torch

    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()

    def stop() -> int:
        ended.record()
        torch.cuda.synchronize()
        return int(began.elapsed_time(ended) * 1e6)  # of milliseconds

    return stop


def live_bytes(run: Callable[[], Any]) -> tuple[int, Mapping[str, int]]:
    """The most bytes that one call allocates at once on a CPU, and the bytes that are allocated at
    the end of each phase; both count from the beginning of the call.

    The events come from torch's allocator, so compiled code is counted too. A phase that runs
    several times in a call is taken at its largest end.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = list(profiled.profiler.kineto_results.events())
    allocations = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    ends = sorted((e.end_ns(), e.name()) for e in events if e.name().startswith(MARK))
    live = peak = 0
    after: dict[str, int] = {}
    for at_ns, size in allocations:
        while ends and ends[0][0] <= at_ns:
            _keep_largest(after, ends.pop(0)[1], live)
        live += size
        peak = max(peak, live)
    for _, name in ends:
        _keep_largest(after, name, live)
    return peak, after


def _keep_largest(after: dict[str, int], name: str, live: int) -> None:
    phase = name.removeprefix(MARK)
    after[phase] = max(after.get(phase, live), live)
