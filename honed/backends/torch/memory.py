"""The peak of one call, by torch's own allocators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def allocator_peak(run: Callable[[Any], Any], feed: Any) -> int:
    """The most bytes allocated at once in one call on a CPU.

    The profiler's memory events come from the allocator itself, so they count compiled and traced
    code too, which a dispatch mode would not see.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        raw = run(feed)
    del raw
    live = peak = 0
    for event in prof.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak


def cuda_peak(run: Callable[[Any], Any], feed: Any) -> dict[str, int]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    run(feed)
    return {"allocated_peak_bytes": torch.cuda.max_memory_allocated(),
            "reserved_peak_bytes": torch.cuda.max_memory_reserved()}  # fmt: skip
