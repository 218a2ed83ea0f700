"""Recorded histories of torch's GPU allocator, replayed. No GPU was there to record one: these are
written by hand in the form that torch documents, with the sizes that its rules give."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from screens import in_one_line

from honed.errors import UsageError
from honed.plan.snapshot import Sizes, replay_snapshot
from honed.show.snapshot import snapshot_table

MIB = 2**20
Event = dict[str, Any]


def event(action: str, address: int, size: int, stream: int = 0) -> Event:
    return {"action": action, "addr": address, "size": size, "stream": stream, "frames": []}


def freed(address: int, size: int) -> list[Event]:
    return [event("free_requested", address, size), event("free_completed", address, size)]


def segment(total: int, allocated: int) -> dict[str, Any]:
    return {"device": 0, "total_size": total, "allocated_size": allocated, "blocks": []}


# A tensor of 1.5 MiB opens a segment of 20 MiB, one of 30 MiB has its own, and is freed. 24 MiB
# use part of it. A small tensor has a segment of 2 MiB.
HISTORY = [
    event("segment_alloc", 0, 20 * MIB),
    event("alloc", 0, 3 * MIB // 2),
    event("segment_alloc", 1 << 30, 30 * MIB),
    event("alloc", 1 << 30, 30 * MIB - 100),
    *freed(1 << 30, 30 * MIB - 100),
    event("alloc", 1 << 30, 24 * MIB),
    event("segment_alloc", 2 << 30, 2 * MIB),
    event("alloc", 2 << 30, 100),
]
SEGMENTS = [segment(20 * MIB, 3 * MIB // 2), segment(30 * MIB, 24 * MIB), segment(2 * MIB, 512)]


def saved(folder: Path, events: list[Event], segments: list[dict[str, Any]]) -> Path:
    path = folder / "run.pickle"
    path.write_bytes(pickle.dumps({"segments": segments, "device_traces": [events, []]}))
    return path


def test_the_simulator_reserves_what_was_recorded(tmp_path: Path) -> None:
    (found,) = replay_snapshot(saved(tmp_path, HISTORY, SEGMENTS))
    assert (found.device, found.allocations) == (0, 4)
    assert found.reserved_peak == found.reserved_end == Sizes(52 * MIB, 52 * MIB)
    assert found.allocated_end == Sizes(51 * MIB // 2 + 512, 51 * MIB // 2 + 512)
    assert found.requested_peak_bytes == 63 * MIB // 2 - 100
    said = in_one_line(snapshot_table(found), width=100)
    assert "reserved, at the peak 52 MiB 52 MiB +0.00%" in said


def test_streams_share_no_memory_and_an_emptied_cache_is_empty(tmp_path: Path) -> None:
    events = [
        event("segment_alloc", 0, 30 * MIB, 1),
        event("alloc", 0, 30 * MIB, 1),
        *(dict(e, stream=1) for e in freed(0, 30 * MIB)),
        event("segment_alloc", 1 << 30, 30 * MIB, 2),
        event("alloc", 1 << 30, 30 * MIB, 2),
        event("segment_free", 0, 30 * MIB, 1),
        event("segment_alloc", 2 << 30, 12 * MIB, 1),
        event("alloc", 2 << 30, 12 * MIB, 1),
    ]
    segments = [segment(30 * MIB, 30 * MIB), segment(12 * MIB, 12 * MIB)]
    (found,) = replay_snapshot(saved(tmp_path, events, segments))
    assert found.reserved_peak == Sizes(60 * MIB, 60 * MIB)
    assert found.reserved_end == Sizes(42 * MIB, 42 * MIB)
    assert found.reserved_end.error == 0


def test_expandable_segments_are_recognised(tmp_path: Path) -> None:
    events = [
        event("segment_map", 0, 20 * MIB),
        event("alloc", 0, 15 * MIB),
        event("segment_map", 20 * MIB, 20 * MIB),
        event("alloc", 15 * MIB, 15 * MIB),
    ]
    (found,) = replay_snapshot(saved(tmp_path, events, [segment(40 * MIB, 30 * MIB)]))
    assert found.reserved_peak == Sizes(40 * MIB, 40 * MIB)
    assert found.allocated_end.error == 0


def test_an_emptied_expandable_segment_can_grow_again(tmp_path: Path) -> None:
    events = [
        *(event("segment_map", start * MIB, 20 * MIB) for start in (0, 20)),
        event("alloc", 0, 30 * MIB),
        *freed(0, 30 * MIB),
        *(event("segment_unmap", start * MIB, 20 * MIB) for start in (0, 20)),
        event("segment_map", 0, 20 * MIB),
        event("alloc", 0, 15 * MIB),
    ]
    (found,) = replay_snapshot(saved(tmp_path, events, [segment(20 * MIB, 15 * MIB)]))
    assert found.reserved_peak == Sizes(40 * MIB, 40 * MIB)
    assert found.reserved_end == Sizes(20 * MIB, 20 * MIB)


def test_a_difference_is_a_share_of_the_record() -> None:
    assert Sizes(100, 103).error == pytest.approx(0.03)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not run",))


def test_files_that_are_no_whole_history_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    middle = saved(tmp_path, freed(0, 100), SEGMENTS)
    with pytest.raises(UsageError, match="begins in the middle") as refused:
        replay_snapshot(middle)
    assert "_record_memory_history" in refused.value.hint
    for content, says in (
        (b"no pickle", "no snapshot"),
        (pickle.dumps([1]), "no snapshot"),
        (pickle.dumps({"segments": [], "device_traces": [[]]}), "no history"),
        (pickle.dumps(Harmful()), "it names builtins.print"),
    ):
        path = tmp_path / "other.pickle"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=says):
            replay_snapshot(path)
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match="cannot read"):
        replay_snapshot(tmp_path / "none.pickle")
