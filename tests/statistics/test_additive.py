"""The additive model of blocks, held against plain differences and against simulated blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from honed.statistics.additive import Noise, fit

NO_PRIOR = Noise(usual=0.05, degrees=0, least=1e-9)
PRIOR = Noise(usual=0.05, degrees=6, least=0.01)
TRUTH = {"A": 0.0, "B": -0.3, "C": -0.35, "D": -1.2}


def simulated(
    rng: np.random.Generator, noise: float, sides: list[list[str]]
) -> list[dict[str, float]]:
    """Blocks of these sides, on a machine that is faster in some blocks than in others."""
    return [
        {side: level + TRUTH[side] + rng.normal(0.0, noise) for side in block}
        for block, level in zip(sides, rng.normal(0.0, 0.1, len(sides)), strict=True)
    ]


def test_two_sides_in_every_block_are_compared_by_the_mean_difference() -> None:
    blocks = simulated(np.random.default_rng(1), 0.05, [["A", "B"]] * 7)
    found = fit(blocks, NO_PRIOR).difference("B", "A")
    differences = [block["B"] - block["A"] for block in blocks]
    test = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert found.log == pytest.approx(np.mean(differences))
    assert (found.low, found.high) == pytest.approx((test.low, test.high))
    assert found.count == 7


@given(st.integers(0, 1000))
def test_the_differences_of_a_chain_add_up(seed: int) -> None:
    sides = [["A", "B", "C", "D"]] * 2 + [["B", "C"]] * 3 + [["C", "D"]]
    effects = fit(simulated(np.random.default_rng(seed), 0.05, sides), PRIOR)
    chain = [effects.difference(after, before).log for before, after in ("AB", "BC", "CD")]
    assert sum(chain) == pytest.approx(effects.difference("D", "A").log, abs=1e-9)


def test_more_blocks_of_some_sides_narrow_their_intervals() -> None:
    rng = np.random.default_rng(3)
    whole = simulated(rng, 0.05, [["A", "B", "C"]] * 3)
    more = whole + simulated(rng, 0.05, [["B", "C"]] * 9)
    assert fit(more, PRIOR).difference("C", "B").half < 0.6 * fit(whole, PRIOR).difference(
        "C", "B"
    ).half  # fmt: skip


def test_sides_that_no_block_connects_are_not_compared() -> None:
    effects = fit([{"A": 0.0, "B": 0.1}, {"C": 0.2, "D": 0.3}, {"D": 0.3, "E": 0.5}], PRIOR)
    assert effects.connected("A", "B")
    assert effects.connected("C", "E")
    assert not effects.connected("A", "C")
    assert not effects.connected("A", "nobody")
    assert effects.difference("E", "C").log == pytest.approx(0.3)


def test_without_blocks_nothing_is_known() -> None:
    effects = fit([], PRIOR)
    assert effects.noise == PRIOR.usual
    assert not effects.connected("A", "A")


def test_the_usual_noise_stands_in_for_missing_degrees_of_freedom() -> None:
    one = fit([{"A": 0.0, "B": -0.5}], PRIOR)
    assert (one.noise, one.degrees) == (0.05, 6)
    expected = stats.t.ppf(0.975, 6) * 0.05 * math.sqrt(2)
    assert one.difference("B", "A").half == pytest.approx(expected)
    many = fit(simulated(np.random.default_rng(5), 0.02, [["A", "B", "C"]] * 9), PRIOR)
    assert many.degrees == 16
    assert many.noise == pytest.approx(0.02, rel=0.4)


def test_processes_that_happen_to_agree_do_not_promise_that_the_next_one_does() -> None:
    assert fit([{"A": 0.0, "B": -0.5}] * 20, PRIOR).noise == PRIOR.least


def test_a_noisy_side_does_not_blur_two_quiet_ones() -> None:
    rng = np.random.default_rng(6)
    blocks = simulated(rng, 0.01, [["A", "B", "C"]] * 8)
    for block in blocks:
        block["A"] += rng.normal(0.0, 0.2)
    effects = fit(blocks, PRIOR)
    assert effects.difference("C", "B").half < 0.02
    assert effects.difference("B", "A").half > 0.1


def test_intervals_of_a_noisy_side_hold_the_truth_as_often() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        blocks = simulated(rng, 0.01, [["A", "B", "C", "D"]] * 6)
        for block in blocks:
            block["A"] += rng.normal(0.0, 0.2)
        at = fit(blocks, PRIOR).difference("B", "A")
        held += at.low <= TRUTH["B"] - TRUTH["A"] <= at.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize("blocks", [2, 3, 8])
def test_nineteen_of_twenty_intervals_hold_the_truth(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    sides = [["A", "B", "C", "D"]] * blocks + [["C", "D"]] * blocks
    held = 0
    for _ in range(400):
        at = fit(simulated(rng, 0.05, sides), PRIOR).difference("D", "C")
        held += at.low <= TRUTH["D"] - TRUTH["C"] <= at.high
    assert 0.92 <= held / 400 <= 0.98
