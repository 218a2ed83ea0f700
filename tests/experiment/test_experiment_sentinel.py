"""The fixed computation between processes: what counts as a change of the machine."""

from __future__ import annotations

import os

import numpy as np

from honed.experiment import sentinel
from honed.experiment.policy import COMPARE


def steady(count: int = 20, seed: int = 0) -> list[float]:
    return list(0.05 * (1 + 0.005 * np.random.default_rng(seed).standard_normal(count)))


def test_it_reads_a_short_time_and_leaves_the_affinity_alone() -> None:
    before = os.sched_getaffinity(0)
    first = sorted(before)[0]
    assert 0 < sentinel.read([first]) < 2
    assert os.sched_getaffinity(0) == before


def test_a_steady_machine_is_not_doubted() -> None:
    around = {"A": steady(10, 1), "B": steady(10, 2)}
    assert sentinel.doubts(steady(), around) == []


def test_a_machine_that_changes_is_doubted() -> None:
    slower = [*steady(10), *(1.1 * r for r in steady(10))]
    assert [d.kind for d in sentinel.doubts(slower, {"A": [], "B": []})] == ["drift"]
    there_and_back = [*steady(7), *(1.1 * r for r in steady(7)), *steady(7)]
    assert sentinel.drift(there_and_back) > COMPARE.drift_limit


def test_one_odd_reading_is_no_change() -> None:
    assert sentinel.drift([*steady(9), 0.5, *steady(9)]) < COMPARE.drift_limit
    assert sentinel.drift([0.05, 0.1]) == 0


def test_a_machine_that_is_slower_around_one_side_is_doubted() -> None:
    first = steady(12, 3)
    doubts = sentinel.doubts(steady(), {"A": first, "B": [1.03 * r for r in steady(12, 4)]})
    assert [d.kind for d in doubts] == ["drift_with_side"]
    assert "slower around the trials of B" in doubts[0].message


def test_few_or_equal_readings_show_no_drift_of_a_side() -> None:
    assert sentinel.side_drift([0.05], [0.06]) == (0.0, 1.0)
    assert sentinel.side_drift([0.05] * 8, [0.05] * 8) == (0.0, 1.0)
