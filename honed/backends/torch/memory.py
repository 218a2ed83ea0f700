"""The peak of one call, by torch's own allocators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cuda_peak(run: Callable[[Any], Any], feed: Any) -> dict[str, int]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    run(feed)
    return {"allocated_peak_bytes": torch.cuda.max_memory_allocated(),
            "reserved_peak_bytes": torch.cuda.max_memory_reserved()}  # fmt: skip
