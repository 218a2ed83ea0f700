"""The proof: the gain over the default, from blocks whose number is settled before the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from landscape import Landscape, confirming, latency_s, question

from honed.case import Case
from honed.study import Setting
from honed.tune.confirm.prove import gain, pooled, prove
from honed.tune.confirm.work import DEFAULT, WINNER

CHOSEN = Setting({"backend": "openvino", "precision": "int8"})
RATIO = 0.15 / (0.114 / 3.4)
LATENCY = question("objective=latency", "budget=5m")


def test_as_many_rounds_as_there_is_time_for(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    lab.noise = 0.02
    with confirming(tmp_path, lab, LATENCY, [CHOSEN], left_s=100.0) as work:
        prove(work, CHOSEN)  # eight seconds a process: three rounds of four processes
        by = gain(work, CHOSEN)
    assert len(work.blocks.blocks) == 6
    assert (work.proof.start, work.proof.stop) == (0, 6)
    assert lab.now_s <= work.until_s
    assert by.ci95 is not None
    assert by.ci95[0] < RATIO < by.ci95[1]


def test_ten_rounds_are_enough(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [CHOSEN], left_s=9000.0) as work:
        prove(work, CHOSEN)
    assert len(work.blocks.blocks) == 20


def test_without_time_for_a_block_there_is_no_gain(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [CHOSEN], left_s=20.0) as work:
        prove(work, CHOSEN)
        assert gain(work, CHOSEN).value is None
    assert work.blocks.blocks == []


def test_a_recommendation_that_fails_in_the_end_has_no_gain(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [CHOSEN]) as work:
        lab.failing = lambda case: "oom" if case.backend == "openvino" else None
        prove(work, CHOSEN)
        assert gain(work, CHOSEN).value is None
    assert set(work.blocks.failed) == {WINNER}


def test_the_blocks_of_the_race_do_not_count(tmp_path: Path) -> None:
    """Whoever wins a race was also lucky in it."""
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [CHOSEN]) as work:
        lab.latency_s = lambda case: 0.01 if case.backend == "openvino" else 0.15
        prove(work, CHOSEN)
        raced = len(work.blocks.blocks)
        lab.latency_s, work.until_s = latency_s, lab.now_s + 300.0
        prove(work, CHOSEN)
    assert work.proof.start == raced
    assert gain(work, CHOSEN).value == pytest.approx(RATIO, rel=0.01)


@pytest.mark.parametrize(("objective", "value"), [("latency", 0.15e3), ("throughput", 1 / 0.15)])
def test_processes_are_pooled_in_the_units_that_people_read(
    tmp_path: Path, objective: str, value: float
) -> None:
    lab = Landscape(latency_s)
    lab.memory_mib = lambda case: 900.0 if case.backend == "torch" else 400.0
    with confirming(tmp_path, lab, question(f"objective={objective}"), [CHOSEN]) as work:
        prove(work, CHOSEN)
        whole = lab.measure(work.context.space.case(work.default))
        both = pooled(work, DEFAULT, WINNER, whole)
    assert both is not None
    assert both.value == pytest.approx(value, rel=0.01)
    assert both.latency_p50_ms == pytest.approx(150.0, rel=0.01)
    assert both.latency_p99_ms is not None  # twenty processes of twenty calls
    assert both.memory_mib == 900.0
    assert len(both.records) == len(work.blocks.blocks)


def test_processes_of_the_proof_have_no_memory_pass(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    cases: list[Case] = []
    with confirming(tmp_path, lab, LATENCY, [CHOSEN]) as work:
        before = len(lab.measured)
        prove(work, CHOSEN)
        cases = lab.measured[before:]
    assert not any(case.memory for case in cases)
