"""A recorded history of PyTorch's allocator on a GPU, replayed on the simulator of this room.

`torch.cuda.memory._record_memory_history()` and, later, `_dump_snapshot("run.pickle")` write what
a program asked of the allocator and which segments the allocator took from the device. The replay
asks the simulator for the same, and the segments of both are compared. The form of the file is
that of `_snapshot` in torch/cuda/memory.py; sizes of "alloc" are those that were asked for.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed.errors import UsageError
from honed.plan.allocator import CachingAllocator

_TAKES, _GIVES_BACK = ("segment_alloc", "segment_map"), ("segment_free", "segment_unmap")
_HOW = (
    "torch.cuda.memory._record_memory_history(max_entries=1000000) before the model is made, "
    "torch.cuda.memory._dump_snapshot('run.pickle') at the end"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes by the record and by the simulator."""

    recorded_bytes: int
    simulated_bytes: int

    @property
    def error(self) -> float:
        """The share by which the simulator has too many."""
        return self.simulated_bytes / self.recorded_bytes - 1 if self.recorded_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """One device. Reserved bytes at their peak and at the end, allocated bytes at the end (the
    record holds them for this moment alone), and the most that was asked for at once."""

    device: int
    allocations: int
    requested_peak_bytes: int
    reserved_peak: Sizes
    reserved_end: Sizes
    allocated_end: Sizes


def replay_snapshot(path: Path) -> tuple[Replayed, ...]:
    """Every device of the file that has a history; UsageError for a file that holds none."""
    snapshot = _read(path)
    replayed = tuple(
        _replay(device, events, _segments(snapshot, device))
        for device, events in enumerate(snapshot["device_traces"])
        if events
    )
    if not replayed:
        raise UsageError(f"{path} holds no history of allocations", _HOW)
    return replayed


class _PlainData(pickle.Unpickler):
    """Reads dicts, lists, texts and numbers. A file that names any class or function is refused,
    because a pickle may run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            data = _PlainData(file).load()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check --snapshot") from None
    except Exception as error:  # noqa: BLE001 - a broken pickle may raise anything
        raise UsageError(f"{path} is no snapshot of torch's allocator: {error}", _HOW) from None
    if not isinstance(data, dict) or "device_traces" not in data or "segments" not in data:
        raise UsageError(f"{path} is no snapshot of torch's allocator", _HOW)
    return data


def _segments(snapshot: Mapping[str, Any], device: int) -> list[Mapping[str, Any]]:
    return [s for s in snapshot["segments"] if s.get("device", device) == device]


@dataclass(slots=True)
class _Pools:
    """A simulator for each stream and pool, because blocks of one never serve another."""

    expandable: bool
    allocators: dict[tuple[Any, ...], CachingAllocator] = field(default_factory=dict)

    def of(self, event: Mapping[str, Any]) -> CachingAllocator:
        key = (event.get("stream"), *event.get("pool_id", ()))
        if key not in self.allocators:
            self.allocators[key] = CachingAllocator(expandable=self.expandable)
        return self.allocators[key]

    def total(self, name: str) -> int:
        return sum(getattr(allocator, name) for allocator in self.allocators.values())


def _replay(
    device: int, events: Sequence[Mapping[str, Any]], segments: Sequence[Mapping[str, Any]]
) -> Replayed:
    pools = _Pools(any(event["action"] == "segment_map" for event in events))
    handles: dict[int, tuple[CachingAllocator, int]] = {}
    recorded = recorded_peak = simulated_peak = requested_peak = allocations = 0
    for event, follows_return in _with_returns(events):
        action, size = event["action"], event["size"]
        if action == "alloc":
            allocator = pools.of(event)
            handles[event["addr"]] = allocator, allocator.allocate(size)
            allocations += 1
        elif action == "free_completed":
            _free(handles, event)
        elif action in _TAKES:
            recorded += size
        elif action in _GIVES_BACK:
            recorded -= size
            if not follows_return:  # segments are given back together
                pools.of(event).empty_cache()
        recorded_peak = max(recorded_peak, recorded)
        simulated_peak = max(simulated_peak, pools.total("reserved_bytes"))
        requested_peak = max(requested_peak, pools.total("requested_bytes"))
    return Replayed(
        device, allocations, requested_peak, Sizes(recorded_peak, simulated_peak),
        Sizes(sum(s["total_size"] for s in segments), pools.total("reserved_bytes")),
        Sizes(sum(s["allocated_size"] for s in segments), pools.total("allocated_bytes")),
    )  # fmt: skip


def _with_returns(
    events: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Each event that changes something, and whether the one before gave a segment back."""
    follows = False
    for event in events:
        if event["action"] in ("free_requested", "oom", "snapshot"):
            continue
        yield event, follows
        follows = event["action"] in _GIVES_BACK


def _free(handles: dict[int, tuple[CachingAllocator, int]], event: Mapping[str, Any]) -> None:
    known = handles.pop(event["addr"], None)
    if known is None:
        raise UsageError(
            "the history begins in the middle: something is freed that was never allocated", _HOW
        )
    allocator, handle = known
    allocator.free(handle)
