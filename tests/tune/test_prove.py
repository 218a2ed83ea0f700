"""The proof: the path in turns, what is dropped of it, and what its processes say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from landscape import Landscape, confirming, latency_s, question

from honed.case import Case
from honed.study import BY_TRIALS, IN_TURNS, Setting
from honed.tune.confirm.pooled import pooled
from honed.tune.confirm.prove import Proof, prove

BARE = Setting({"backend": "openvino", "precision": "int8"})
BEST = BARE.changed(allocator="jemalloc", **{"openvino.streams": 2})
RATIO = 0.15 / (0.114 / 3.4)
LATENCY = question("objective=latency", "budget=5m")


def keys(proof: Proof) -> list[str]:
    return [s.leg.key for s in proof.steps]


def product(proof: Proof) -> float:
    return math.prod(s.gain.value or math.nan for s in proof.steps)


def test_every_step_is_measured_in_turns_and_the_product_is_the_gain(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    lab.noise = 0.02
    lab.seed(1)  # of some seeds the interval does not hold the truth, as is right for 95 %
    with confirming(tmp_path, lab, LATENCY, [BEST], left_s=900.0) as work:
        proof = prove(work, BEST)
        assert lab.now_s <= work.until_s
    assert proof.chosen == BEST
    assert keys(proof) == ["backend", "precision", "openvino.streams", "allocator"]
    assert all(s.source == IN_TURNS and s.gain.ci95 for s in proof.steps)
    truth = [0.15 / 0.114, 3.4, 1 / 0.9, 1 / 0.94]
    for step, true in zip(proof.steps, truth, strict=True):
        assert step.gain.value == pytest.approx(true, rel=0.04)
    assert product(proof) == pytest.approx(proof.gain.value, rel=1e-9)
    assert proof.gain.ci95 is not None
    assert proof.gain.ci95[0] < math.prod(truth) < proof.gain.ci95[1]


def test_the_default_has_fewer_processes_than_the_knobs(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [BEST], left_s=900.0) as work:
        prove(work, BEST)
        counts = work.blocks.effects().counts
    assert counts["default"] < counts[BEST.name]


def test_a_knob_that_does_nothing_is_dropped(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    lab.noise = 0.02
    idle = BARE.changed(allocator="tcmalloc")
    with confirming(tmp_path, lab, LATENCY, [idle], left_s=600.0) as work:
        proof = prove(work, idle)
    assert proof.chosen == BARE
    assert [s.leg.key for s in proof.dropped] == ["allocator"]
    assert proof.gain.value == pytest.approx(RATIO, rel=0.03)
    assert product(proof) == pytest.approx(proof.gain.value, rel=1e-9)


def test_behind_a_dropped_knob_the_path_is_measured_without_it(tmp_path: Path) -> None:
    """The setting without `openvino.hint` but with jemalloc is one that nobody has tried."""

    def jemalloc_gains(case: Case) -> float:
        seconds = 0.15 if case.backend == "torch" else 0.12
        seconds /= 3.0 if case.precision == "int8" else 1.0
        return seconds * (0.8 if case.get("allocator") == "jemalloc" else 1.0)

    lab = Landscape(jemalloc_gains)
    lab.noise = 0.01
    both = BARE.changed(allocator="jemalloc", **{"openvino.hint": "latency"})
    with confirming(tmp_path, lab, LATENCY, [both], left_s=900.0) as work:
        proof = prove(work, both)
        measured = work.blocks.effects().counts
    assert proof.chosen == BARE.changed(allocator="jemalloc")
    assert keys(proof) == ["backend", "precision", "allocator"]
    assert proof.chosen.name in measured
    assert proof.steps[-1].gain.value == pytest.approx(1.25, rel=0.03)
    assert [s.leg.key for s in proof.dropped] == ["openvino.hint"]


@pytest.mark.parametrize("seed", range(8))
def test_noise_does_not_give_up_an_engine_that_is_far_faster(tmp_path: Path, seed: int) -> None:
    """OpenVINO int8 is 1.7 times as fast as torch int8, which is not proven by a noisy block."""
    lab = Landscape(latency_s)
    lab.noise = 0.15
    lab.seed(seed)
    torch = BARE.changed(backend="torch")
    with confirming(tmp_path, lab, LATENCY, [BARE, torch], left_s=100.0) as work:
        proof = prove(work, BARE)
    assert proof.chosen != torch


def test_little_time_proves_the_engine_but_no_knob(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    lab.noise = 0.05
    with confirming(tmp_path, lab, LATENCY, [BEST], left_s=90.0) as work:
        proof = prove(work, BEST)  # eight seconds a process: two blocks of five settings
        assert lab.now_s <= work.until_s
    assert proof.chosen == BARE
    assert keys(proof) == ["backend", "precision"]
    assert [s.leg.key for s in proof.dropped] == ["openvino.streams", "allocator"]


def test_a_knob_without_a_gain_does_not_take_a_proven_one_with_it(tmp_path: Path) -> None:
    """A path ends before the first knob that is not proven, so the hint must go before the end."""
    lab = Landscape(latency_s)
    lab.noise = 0.02
    winner = BARE.changed(**{"openvino.hint": "latency", "openvino.streams": 2})
    with confirming(tmp_path, lab, LATENCY, [winner], left_s=150.0) as work:
        proof = prove(work, winner)
        assert lab.now_s <= work.until_s
    assert proof.chosen == BARE.changed(**{"openvino.streams": 2})
    assert keys(proof) == ["backend", "precision", "openvino.streams"]
    assert [s.leg.key for s in proof.dropped] == ["openvino.hint"]


def test_where_time_is_short_trials_fill_in(tmp_path: Path) -> None:
    """Two processes: the ends of the path. The trial of the setting between tells the steps."""
    lab = Landscape(latency_s)
    engine = BARE.changed(precision="fp32")
    with confirming(tmp_path, lab, LATENCY, [BARE, engine], left_s=20.0) as work:
        proof = prove(work, BARE)
    assert keys(proof) == ["backend", "precision"]
    assert [s.source for s in proof.steps] == [BY_TRIALS] * 2
    assert product(proof) == pytest.approx(proof.gain.value)
    assert proof.gain.value == pytest.approx(RATIO, rel=1e-3)
    assert proof.gain.ci95 is not None  # both ends were measured in one block


def test_what_no_trial_tells_is_measured_first(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    two = BARE.changed(threads=2)
    with confirming(tmp_path, lab, LATENCY, [two, BARE], left_s=28.0) as work:
        prove(work, two)
        measured = set(work.blocks.effects().counts)
    assert measured == {"default", BARE.changed(precision="fp32").name, two.name}


def test_without_any_time_the_trials_alone_are_believed_where_they_are_clear(
    tmp_path: Path,
) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [BARE, BEST], left_s=5.0) as work:
        proof = prove(work, BEST)
    assert work.blocks.blocks == []
    assert proof.chosen == BARE  # 18 % by one trial each prove no knobs
    assert keys(proof) == ["backend+precision"]
    assert proof.gain.value == pytest.approx(RATIO, rel=1e-3)
    assert proof.gain.ci95 is None


def test_a_recommendation_that_fails_in_the_end_is_none(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [BEST], left_s=900.0) as work:
        lab.failing = lambda case: "oom" if case.get("allocator") else None
        proof = prove(work, BEST)
    assert proof.chosen == BEST.without("allocator")
    assert set(work.blocks.failed) == {BEST.name}


def test_a_setting_on_the_way_that_fails_is_no_step(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    with confirming(tmp_path, lab, LATENCY, [BARE]) as work:
        fails = ("openvino", "fp32")
        lab.failing = lambda c: "crashed" if (c.backend, c.precision) == fails else None
        proof = prove(work, BARE)
    assert keys(proof) == ["backend+precision"]
    assert proof.gain.value == pytest.approx(RATIO, rel=0.01)


def test_a_default_that_is_as_fast_is_recommended(tmp_path: Path) -> None:
    lab = Landscape(lambda _: 0.05)
    lab.noise = 0.05
    with confirming(tmp_path, lab, LATENCY, [BEST]) as work:
        proof = prove(work, BEST)
    assert (proof.chosen, proof.gain.value, proof.steps) == (work.default, 1.0, ())
    assert proof.dropped


def by_branch(**seconds: float) -> Callable[[Case], float]:
    return lambda case: seconds[f"{case.backend}_{case.precision}"]


def test_an_engine_that_gains_only_in_its_precision_is_one_step_with_it(tmp_path: Path) -> None:
    lab = Landscape(
        by_branch(torch_fp32=0.1, openvino_fp32=0.11, openvino_int8=0.03, torch_int8=0.05)
    )
    with confirming(tmp_path, lab, LATENCY, [BARE], left_s=400.0) as work:
        proof = prove(work, BARE)
    assert proof.chosen == BARE
    assert keys(proof) == ["backend+precision"]
    assert proof.gain.value == pytest.approx(0.1 / 0.03, rel=0.01)


@pytest.mark.parametrize("left_s", [60.0, 75.0, 90.0, 120.0])
@pytest.mark.parametrize("seed", range(6))
def test_little_time_does_not_cost_the_engine_that_a_proven_precision_needs(
    tmp_path: Path, seed: int, left_s: float
) -> None:
    """The engine gains a quarter in fp32, which noisy blocks do not prove. There may be no
    time for torch in int8, of which a trial was far slower."""
    lab = Landscape(
        by_branch(torch_fp32=0.15, openvino_fp32=0.12, openvino_int8=0.04, torch_int8=0.09)
    )
    lab.noise = 0.08
    lab.seed(seed)
    winner = BARE.changed(threads=2)
    torch = BARE.changed(backend="torch")
    with confirming(tmp_path, lab, LATENCY, [winner, BARE, torch], left_s=left_s) as work:
        proof = prove(work, winner)
    assert proof.chosen.branch == ("openvino", "int8")
    assert proof.gain.value == pytest.approx(0.15 / 0.04, rel=0.25)


def test_an_engine_that_gains_nothing_in_any_precision_is_dropped(tmp_path: Path) -> None:
    lab = Landscape(
        by_branch(torch_fp32=0.1, openvino_fp32=0.1, openvino_int8=0.03, torch_int8=0.03)
    )
    lab.noise = 0.02
    with confirming(tmp_path, lab, LATENCY, [BARE], left_s=400.0) as work:
        proof = prove(work, BARE)
    assert proof.chosen == Setting({"backend": "torch", "precision": "int8"})
    assert keys(proof) == ["precision"]
    assert [s.leg.key for s in proof.dropped] == ["backend"]


def test_an_engine_that_gains_by_its_knob_alone_stays(tmp_path: Path) -> None:
    def by_streams(case: Case) -> float:
        seconds = 0.03 if case.precision == "int8" else 0.1
        return seconds * (0.7 if case.get("openvino.streams") == 2 else 1.0)

    lab = Landscape(by_streams)
    lab.noise = 0.02
    two = BARE.changed(**{"openvino.streams": 2})
    with confirming(tmp_path, lab, LATENCY, [two], left_s=900.0) as work:
        proof = prove(work, two)
        assert lab.now_s <= work.until_s
    assert proof.chosen == two
    assert keys(proof) == ["backend+precision", "openvino.streams"]


def test_behind_a_precision_that_gains_nothing_the_knobs_stay(tmp_path: Path) -> None:
    def not_by_precision(case: Case) -> float:
        seconds = 0.1 if case.backend == "torch" else 0.06
        return seconds * (0.8 if case.get("allocator") == "jemalloc" else 1.0)

    lab = Landscape(not_by_precision)
    lab.noise = 0.01
    both = BARE.changed(allocator="jemalloc")
    with confirming(tmp_path, lab, LATENCY, [both], left_s=900.0) as work:
        proof = prove(work, both)
    assert proof.chosen == both.changed(precision="fp32")
    assert keys(proof) == ["backend", "allocator"]
    assert "precision" in [s.leg.key for s in proof.dropped]


def test_a_precision_that_gains_nothing_is_dropped(tmp_path: Path) -> None:
    lab = Landscape(
        by_branch(torch_fp32=0.1, openvino_fp32=0.05, openvino_int8=0.05, torch_int8=0.1)
    )
    with confirming(tmp_path, lab, LATENCY, [BARE], left_s=400.0) as work:
        proof = prove(work, BARE)
    assert proof.chosen == BARE.changed(precision="fp32")


def test_a_key_that_a_limit_needs_stays(tmp_path: Path) -> None:
    """The allocator gains no time, but only with it the memory suffices."""
    lab = Landscape(latency_s)
    lab.memory_mib = lambda case: 400.0 if case.get("allocator") else 900.0
    of = question("objective=latency", "budget=10m", "limit=memory_mib<=500")
    small = BARE.changed(allocator="tcmalloc")
    with confirming(tmp_path, lab, of, [BARE, small], left_s=600.0) as work:
        proof = prove(work, small)
    assert proof.chosen == small
    assert keys(proof) == ["backend", "precision", "allocator"]


def test_several_objectives_drop_nothing(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    idle = BARE.changed(allocator="tcmalloc")
    of = question("objective=latency,memory", "budget=10m")
    with confirming(tmp_path, lab, of, [idle], left_s=600.0) as work:
        proof = prove(work, idle)
    assert proof.chosen == idle
    assert keys(proof) == ["backend", "precision", "allocator"]


@pytest.mark.parametrize(("objective", "value"), [("latency", 0.15e3), ("throughput", 1 / 0.15)])
def test_processes_are_pooled_in_the_units_that_people_read(
    tmp_path: Path, objective: str, value: float
) -> None:
    lab = Landscape(latency_s)
    lab.memory_mib = lambda case: 900.0 if case.backend == "torch" else 400.0
    with confirming(tmp_path, lab, question(f"objective={objective}"), [BARE]) as work:
        prove(work, BARE)
        whole = lab.measure(work.context.space.case(work.default))
        both = pooled(work, work.default, BARE, whole)
        assert pooled(work, BEST, BARE, whole) is None
    assert both is not None
    assert both.value == pytest.approx(value, rel=0.01)
    assert both.latency_p50_ms == pytest.approx(150.0, rel=0.01)
    assert both.latency_p99_ms is not None  # a dozen processes of twenty calls
    assert both.memory_mib == 900.0
    assert len(both.records) == len(work.blocks.blocks)


def test_processes_of_the_proof_have_no_memory_pass(tmp_path: Path) -> None:
    lab = Landscape(latency_s)
    cases: list[Case] = []
    with confirming(tmp_path, lab, LATENCY, [BARE]) as work:
        before = len(lab.measured)
        prove(work, BARE)
        cases = lab.measured[before:]
    assert not any(case.memory for case in cases)
