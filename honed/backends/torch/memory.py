"""What torch's own allocator on a GPU says of one call: its peak, and its history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST_EVENTS = 1_000_000


def cuda_peak(run: Callable[[Any], Any], feed: Any) -> dict[str, int]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    run(feed)
    return {"allocated_peak_bytes": torch.cuda.max_memory_allocated(),
            "reserved_peak_bytes": torch.cuda.max_memory_reserved()}  # fmt: skip


def cuda_history(call: Callable[[], Any]) -> bytes:
    """Every allocation and release of the call, in the form of torch's `_dump_snapshot`."""
    import pickle

    import torch

    record = torch.cuda.memory._record_memory_history
    record(max_entries=_MOST_EVENTS)
    try:
        call()
        return pickle.dumps(torch.cuda.memory._snapshot())
    finally:
        record(enabled=None)
