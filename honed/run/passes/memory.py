"""Memory: a few calls that are not timed, because what watches memory slows what it watches."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from honed.instruments import memory
from honed.phase import Phase
from honed.record import Memory
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
# timed: no instance is timed any more, so that watching memory disturbs none. idle: all instances
# are loaded and none computes, so that shared pages can be counted. counted: all have counted, so
# that no instance unloads its pages too early.
BARRIERS = ("timed", "idle", "counted")
_CALLS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes, as in the Record's Memory; peaks are None with memory=false."""

    pss_bytes: int | None
    rss_peak_bytes: int | None = None
    rss_anon_peak_bytes: int | None = None
    rss_file_peak_bytes: int | None = None
    tensor_peak_bytes: int | None = None
    allocated_peak_bytes: int | None = None
    reserved_peak_bytes: int | None = None
    after_phase_bytes: Mapping[str, int] | None = None


def work(loaded: Loaded) -> Part:
    loaded.on_phase(Phase.MEASURING_MEMORY)
    loaded.wait("timed")
    peaks = _peaks(loaded) if loaded.case.memory else {}
    loaded.wait("idle")
    part = Part(memory.pss_bytes(), **peaks)
    loaded.wait("counted")
    return part


def _peaks(loaded: Loaded) -> dict[str, Any]:
    step, largest = loaded.step, max(loaded.feeds, key=_elements)
    gc.collect()
    with memory.ResidentPeak() as peak:
        for _ in range(_CALLS):
            step.run(largest)
    return {
        "rss_peak_bytes": peak.total_bytes,
        "rss_anon_peak_bytes": peak.anon_bytes,
        "rss_file_peak_bytes": peak.file_bytes,
        "tensor_peak_bytes": step.tensor_peak_bytes(largest),
        **step.device_memory(largest),
        "after_phase_bytes": step.after_phase_bytes(largest) or None,
    }


def _elements(feed: Any) -> int:
    """Of the largest array. A feed is one, or several in tuples and dicts, as its engine takes
    them."""
    if hasattr(feed, "shape"):
        return int(np.prod(feed.shape))
    parts = feed.values() if isinstance(feed, Mapping) else feed
    return max((_elements(part) for part in parts), default=0)


def merge(gathered: Gathered[Part]) -> Merged:
    """The largest instance's bytes, but the sum of the proportional shares."""
    loads, parts = gathered.loads, gathered.parts
    shares = [part.pss_bytes for part in parts]
    known = [share for share in shares if share is not None]
    peaks: dict[str, Any] = {
        name: _largest(getattr(part, name) for part in parts)
        for name in (field.name for field in fields(Part))
        if name not in ("pss_bytes", "after_phase_bytes")
    }
    after = [part.after_phase_bytes for part in parts if part.after_phase_bytes]
    return Merged(
        memory=Memory(
            weights_bytes=_largest(load.weights_bytes for load in loads),
            baseline_bytes=_largest(load.baseline_bytes for load in loads),
            load_peak_bytes=_largest(load.load_peak_bytes for load in loads),
            load_anon_peak_bytes=_largest(load.load_anon_peak_bytes for load in loads),
            pss_total_bytes=sum(known) if len(known) == len(shares) else None,
            after_phase_bytes=max(after, key=lambda of: max(of.values()), default=None),
            **peaks,
        )
    )


def _largest(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
