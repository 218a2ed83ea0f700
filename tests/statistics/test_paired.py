"""The statistics, held against scipy and against themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from honed.statistics.paired import (
    PRIOR_SD,
    Estimate,
    Question,
    budget_factor,
    critical_t,
    enough,
    judge,
    median_error,
    old_and_new,
    process_noise,
    sequence,
)

TWO = Question(resolution=math.log(1.02))
GATE = Question(resolution=math.log(1.02), slower_than=math.log(1.05))
logs = st.floats(-0.5, 0.5)


def bayes_factor(t: float, count: int) -> float:
    """By integration: how much likelier t is when the effect size is normal(0, PRIOR_SD)."""

    def weighed(effect: float) -> float:
        likelihood = stats.nct.pdf(t, count - 1, effect * math.sqrt(count))
        return float(likelihood * stats.norm.pdf(effect, scale=PRIOR_SD))

    marginal, _ = integrate.quad(weighed, -12, 12, limit=200)
    return float(marginal / stats.t.pdf(t, count - 1))


@pytest.mark.parametrize(("count", "alpha"), [(6, 0.05), (10, 0.05), (24, 0.05), (24, 0.0125)])
def test_the_closed_form_is_the_bayes_factor(count: int, alpha: float) -> None:
    assert bayes_factor(critical_t(count, alpha), count) == pytest.approx(1 / alpha, rel=1e-3)


def test_few_blocks_give_no_interval_and_the_sequence_is_wider_than_one_look() -> None:
    assert critical_t(1) == critical_t(2) == math.inf
    for count in (6, 12, 50, 500):
        assert critical_t(count) > stats.t.ppf(0.975, count - 1)
    assert math.isinf(sequence([0.1, 0.2]).high)


def test_the_interval_is_the_mean_and_t_standard_errors() -> None:
    values = [0.01, 0.03, 0.02, 0.05, 0.04, 0.03]
    found = sequence(values)
    assert found.log == pytest.approx(np.mean(values))
    assert found.high - found.log == pytest.approx(critical_t(6) * stats.sem(values))
    assert found.log - found.low == pytest.approx(found.half)


def test_the_noise_of_one_process_is_found_in_the_differences_of_pairs() -> None:
    rng = np.random.default_rng(0)
    sides = 0.03 * rng.standard_normal((3, 4000)) + [[0.0], [0.5], [-0.2]]
    pairs = [sides[0] - sides[1], sides[0] - sides[2]]
    assert process_noise(pairs) == pytest.approx(0.03, rel=0.05)
    held_up = pairs[0].copy()
    held_up[:100] += 0.5  # other programs slowed some processes by a half
    assert process_noise([held_up, pairs[1]]) == pytest.approx(0.03, rel=0.08)


def test_single_blocks_have_no_noise_to_measure() -> None:
    assert math.isinf(process_noise([]))
    assert math.isinf(process_noise([[0.1], [0.2]]))
    assert process_noise([[0.1, 0.1], [0.3]]) == 0.0


def test_the_error_of_a_median_of_differences() -> None:
    rng = np.random.default_rng(0)
    differences = 0.02 * rng.standard_normal((4000, 15, 2))
    medians = np.median(differences[..., 0] - differences[..., 1], axis=1)
    assert median_error(15, 0.02) == pytest.approx(medians.std(), rel=0.05)
    assert math.isinf(median_error(0, 0.02))


@given(st.lists(logs, min_size=6, max_size=40))
def test_turning_the_sides_round_mirrors_the_verdict(values: list[float]) -> None:
    there = judge({"B": values}, TWO, {})["B"]
    back = judge({"B": [-v for v in values]}, TWO, {})["B"]
    assert back.estimate.low == pytest.approx(-there.estimate.high)
    swapped = {"faster": "slower", "slower": "faster"}
    assert back.kind == swapped.get(there.kind, there.kind)


@pytest.mark.parametrize(
    ("low", "high", "plain", "gate"),
    [
        (0.01, 0.06, "slower", "undecided"),
        (0.06, 0.08, "slower", "slower"),
        (-0.06, -0.01, "faster", "faster"),
        (-0.01, 0.01, "tie", "not slower"),
        (0.005, 0.015, "tie", "not slower"),  # certain, but smaller than what matters
        (-0.01, 0.04, "undecided", "not slower"),
        (-0.01, 0.09, "undecided", "undecided"),
        (-math.inf, math.inf, "undecided", "undecided"),
    ],
)
def test_what_an_interval_answers(low: float, high: float, plain: str, gate: str) -> None:
    at = Estimate((low + high) / 2, low, high, 8)
    assert TWO.answer(at) == plain
    assert GATE.answer(at) == gate


def test_holm_judges_the_rest_less_strictly_once_one_is_told_apart() -> None:
    rng = np.random.default_rng(3)
    clear = list(0.5 + 0.01 * rng.standard_normal(8))
    noise = rng.standard_normal(8)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    # Between what alpha / 2 and alpha need.
    needed = (critical_t(8, 0.05) + critical_t(8, 0.025)) / 2 / math.sqrt(8)
    border = list(0.05 * (noise + needed))
    assert judge({"B": border, "C": border}, TWO, {})["B"].kind == "undecided"
    found = judge({"B": border, "C": clear}, TWO, {})
    assert (found["B"].kind, found["C"].kind) == ("slower", "slower")
    assert judge({"B": border, "C": clear}, TWO, {"C": found["C"]})["B"].kind == "slower"


def test_what_is_settled_stays_settled() -> None:
    settled = {"B": judge({"B": [0.1, 0.11, 0.1, 0.12, 0.1, 0.11]}, TWO, {})["B"]}
    assert settled["B"].kind == "slower"
    now = judge({"B": [-0.5] * 6, "C": [0.0, 0.3, -0.2, 0.4, 0.1, 0.1]}, TWO, settled)
    assert now["B"] == settled["B"]
    assert now["C"].kind == "undecided"


def test_old_numbers_are_judged_by_welch() -> None:
    old, new = [0.0, 0.01, -0.01, 0.02], [0.05, 0.06, 0.055, 0.07, 0.06]
    found = old_and_new(old, new)
    test = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((test.low, test.high))
    assert TWO.answer(found) == "slower"


def test_two_old_processes_are_too_few() -> None:
    assert not enough(2)
    assert math.isinf(old_and_new([0.0, 0.1], [0.3, 0.31, 0.32]).high)
    assert old_and_new([0.1] * 3, [0.2] * 3).low == pytest.approx(0.1)


def test_the_budget_that_would_do() -> None:
    wide = Estimate(0.03, -0.03, 0.09, 8)  # half as wide again would touch zero
    assert budget_factor(wide, TWO) == pytest.approx(4)
    assert budget_factor(Estimate(0.0, -0.04, 0.04, 8), TWO) == pytest.approx(4, rel=0.05)
    assert budget_factor(Estimate(math.log(1.05), 0.0, 0.1, 8), GATE) == math.inf
    assert budget_factor(Estimate(0.0, -math.inf, math.inf, 2), TWO) == pytest.approx(3)
