"""The race: which of the entrants goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from landscape import Landscape, confirming, question

from honed.case import Case
from honed.study import Setting
from honed.tune.confirm.race import race
from honed.tune.confirm.work import SIMPLER, WINNER

PLAIN = Setting({"backend": "openvino", "precision": "int8"})
JEMALLOC = PLAIN.changed(allocator="jemalloc")
TORCH = Setting({"backend": "torch", "precision": "int8"})
SIDES = {WINNER: JEMALLOC, SIMPLER: PLAIN, "other 1": TORCH}
LATENCY = question("objective=latency", "budget=5m")


def by_setting(jemalloc: float, plain: float, torch: float) -> Callable[[Case], float]:
    def latency_s(case: Case) -> float:
        if case.backend == "torch":
            return torch
        return jemalloc if case.get("allocator") == "jemalloc" else plain

    return latency_s


def test_the_fastest_wins_and_the_slow_fall_out(tmp_path: Path) -> None:
    lab = Landscape(by_setting(0.0485, 0.05, 0.07))
    lab.noise = 0.02
    with confirming(tmp_path, lab, LATENCY, SIDES.values()) as work:
        assert race(work, SIDES, work.until_s) == JEMALLOC
    assert "other 1" in work.blocks.blocks[0]
    assert "other 1" not in work.blocks.blocks[-1]
    assert lab.now_s <= work.until_s


def test_of_settings_that_cannot_be_told_apart_the_simplest_wins(tmp_path: Path) -> None:
    lab = Landscape(by_setting(0.0499, 0.05, 0.07))
    lab.noise = 0.02
    with confirming(tmp_path, lab, LATENCY, SIDES.values()) as work:
        assert race(work, SIDES, work.until_s) == PLAIN


def test_a_side_that_fails_is_out_and_is_remembered(tmp_path: Path) -> None:
    lab = Landscape(by_setting(0.045, 0.05, 0.07))
    with confirming(tmp_path, lab, LATENCY, SIDES.values()) as work:
        lab.failing = lambda case: "crashed" if case.get("allocator") == "jemalloc" else None
        assert race(work, SIDES, work.until_s) == PLAIN
    assert set(work.blocks.failed) == {WINNER}


def test_without_time_for_a_block_no_knob_of_the_machine_is_believed(tmp_path: Path) -> None:
    lab = Landscape(by_setting(0.04, 0.05, 0.07))
    with confirming(tmp_path, lab, LATENCY, SIDES.values()) as work:
        assert race(work, SIDES, lab.now_s + 20.0) == PLAIN  # eight seconds a process
    assert work.blocks.blocks == []
    assert work.blocks.failed == {}


def test_a_side_whose_calls_together_break_a_limit_does_not_win(tmp_path: Path) -> None:
    """Twenty calls of a trial do not support the 99th percentile; those of the race do."""
    lab = Landscape(by_setting(0.0499, 0.05, 0.07))
    lab.noise = 0.02
    of = replace(LATENCY, limits=("latency_p99_ms<=100",))
    with confirming(tmp_path, lab, of, SIDES.values()) as work:
        assert all(t.feasible for t in work.context.study.trials() if t.setting == PLAIN)
        measure = lab.measure

        def with_tail(case, sweep=None, on_phase=lambda _: None):  # type: ignore[no-untyped-def]
            record = measure(case, sweep, on_phase)
            if case.backend == "torch" or case.get("allocator"):
                return record
            (calls_s,) = record.samples.latency_s
            tailed = (*calls_s[:-1], 0.5)
            return replace(record, samples=replace(record.samples, latency_s=(tailed,)))

        lab.measure = with_tail  # type: ignore[method-assign]
        assert race(work, SIDES, work.until_s) == JEMALLOC


def test_every_process_is_stored_under_the_name_of_the_study(tmp_path: Path) -> None:
    lab = Landscape(by_setting(0.045, 0.05, 0.07))
    with confirming(tmp_path, lab, LATENCY, SIDES.values()) as work:
        before = set(lab.records)
        race(work, SIDES, work.until_s)
    assert {lab.sweeps[id] for id in set(lab.records) - before} == {"test"}
