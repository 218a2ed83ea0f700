"""Timelines computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.plain import from_plain, to_plain
from honed.timeline import Block, MemoryKind, Span, StepPhase, Timeline

WEIGHTS, TEMPORARIES = MemoryKind.WEIGHTS, MemoryKind.TEMPORARIES
BY_HAND = Timeline(
    blocks=(
        Block(100, WEIGHTS, 0),
        Block(40, MemoryKind.ACTIVATIONS, 1, 5, "aten.addmm", "layer", StepPhase.FORWARD),
        Block(7, TEMPORARIES, 2, 3, "aten.gelu", "layer", StepPhase.FORWARD),
        Block(30, TEMPORARIES, 4, 6, "aten.mm", "", StepPhase.BACKWARD),
    ),
    ticks=7,
    spans=(
        Span(StepPhase.SETUP, 0, 1),
        Span(StepPhase.FORWARD, 1, 4),
        Span(StepPhase.BACKWARD, 4, 7),
    ),
)


def test_alive_bytes_follow_births_and_deaths() -> None:
    assert BY_HAND.alive_bytes() == [100, 140, 147, 140, 170, 130, 100]
    assert BY_HAND.alive_bytes(TEMPORARIES) == [0, 0, 7, 0, 30, 30, 0]


def test_a_part_keeps_what_is_alive_in_it() -> None:
    part = BY_HAND.between(3, 6)
    assert part.alive_bytes() == BY_HAND.alive_bytes()[3:6]
    assert part.alive_bytes(TEMPORARIES) == BY_HAND.alive_bytes(TEMPORARIES)[3:6]
    assert [(span.phase, span.begin, span.end) for span in part.spans] == [
        (StepPhase.FORWARD, 0, 1), (StepPhase.BACKWARD, 1, 3),
    ]  # fmt: skip
    assert BY_HAND.between(0, 7) == BY_HAND


def test_the_peak_names_what_was_allocated_at_it() -> None:
    peak = BY_HAND.peak()
    assert peak is not None
    assert (peak.tick, peak.size_bytes, peak.op) == (4, 170, "aten.mm")
    assert peak.phase is StepPhase.BACKWARD
    assert peak.by_kind["weights"] == 100
    assert sum(peak.by_kind.values()) == peak.size_bytes


def test_each_phase_has_a_peak_of_its_own() -> None:
    forward = BY_HAND.peak(StepPhase.FORWARD)
    assert forward is not None
    assert (forward.tick, forward.size_bytes, forward.module) == (2, 147, "layer")
    assert BY_HAND.peak(StepPhase.OPTIMIZER) is None
    assert BY_HAND.peak(step=1) is None
    assert Timeline((), 0).peak() is None


def test_a_timeline_survives_json() -> None:
    assert from_plain(Timeline, to_plain(BY_HAND)) == BY_HAND


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20), st.integers(1, 20)), max_size=30)
)
def test_the_kinds_add_up_at_every_tick(sizes: list[tuple[int, int, int]]) -> None:
    kinds = list(MemoryKind)
    blocks = [
        Block(size, kinds[n % len(kinds)], born, born + lasts if lasts % 3 else None)
        for n, (size, born, lasts) in enumerate(sizes)
    ]
    timeline = Timeline(tuple(blocks), 60)
    totals = timeline.alive_bytes()
    for tick in (0, 10, 59):
        assert totals[tick] == sum(block.size_bytes for block in timeline.at(tick))
        assert totals[tick] == sum(timeline.alive_bytes(kind)[tick] for kind in kinds)
    peak = timeline.peak()
    assert peak is not None
    assert peak.size_bytes == max(totals) == pytest.approx(sum(peak.by_kind.values()))
