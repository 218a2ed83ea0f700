"""The metrics against their textbook implementations; intervals and gates against known cases."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from honed.statistics.accuracy import (
    Predictions,
    chance,
    complaint,
    doubts,
    f1,
    judge,
    ndcg,
    rank_overlap,
    spearman,
)

few = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


@given(few)
def test_f1_is_the_macro_f1(pairs: list[tuple[int, int]]) -> None:
    truth, said = (np.array(v, float) for v in zip(*pairs, strict=True))
    wanted = oracle.f1_score(truth, said, average="macro", zero_division=0)
    assert f1(truth, said) == pytest.approx(wanted)


@given(few)
def test_spearman_is_scipys_and_0_without_an_order(pairs: list[tuple[int, int]]) -> None:
    truth, said = (np.array(v, float) for v in zip(*pairs, strict=True))
    if np.ptp(truth) == 0 or np.ptp(said) == 0:
        assert spearman(truth, said) == 0
    else:
        assert spearman(truth, said) == pytest.approx(scipy.stats.spearmanr(truth, said)[0])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(any), st.integers(0, 99))
def test_ndcg_is_the_textbooks(relevance: list[int], seed: int) -> None:
    said = np.random.default_rng(seed).permutation(len(relevance)).astype(float)
    wanted = oracle.ndcg_score([relevance], [said], k=10)
    assert ndcg(np.array(relevance, float), said) == pytest.approx(wanted)


def test_rank_overlap_counts_the_upper_half() -> None:
    reference = np.array([9.0, 8, 7, 1, 2, 3])
    assert rank_overlap(reference, reference * 2) == 1
    assert rank_overlap(reference, -reference) == 0
    assert rank_overlap(reference, np.array([9.0, 8, 0, 7, 1, 2])) == pytest.approx(2 / 3)


def judged(lost: int, won: int, count: int, allowed: float | None = None):  # type: ignore[no-untyped-def]
    """`lost` examples that only the reference has right, `won` only the setting."""
    reference = [0.0] * won + [1.0] * (count - won)
    value = [1.0] * (count - lost) + [0.0] * lost
    return judge(
        "accuracy", Predictions([1.0] * count, reference, value, range(count)), allowed, "f"
    )


def test_a_drop_comes_with_the_interval_of_the_paired_difference() -> None:
    found = judged(lost=6, won=2, count=200)
    assert found.reference == pytest.approx(0.99)
    assert found.value == pytest.approx(0.97)
    assert found.drop == pytest.approx(0.02)
    assert found.examples == 200
    assert found.drop_ci95 is not None
    low, high = found.drop_ci95
    assert low < 0.02 < high
    # Wald's interval of paired proportions, which this one adjusts: 0.02 +- 0.0277.
    assert (low, high) == pytest.approx((0.02 - 0.0277, 0.02 + 0.0277), abs=0.003)


def test_no_difference_in_few_examples_is_not_certainty() -> None:
    found = judged(lost=0, won=0, count=30)
    assert found.drop == 0
    assert found.drop_ci95 is not None
    assert found.drop_ci95[0] < -0.02 < 0.02 < found.drop_ci95[1]


@pytest.mark.parametrize(("count", "covered"), [(40, 0.9), (300, 0.92)])
def test_the_interval_holds_the_true_drop_nearly_always(count: int, covered: float) -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        lost, won, _ = random.multinomial(count, (0.08, 0.03, 0.89))
        ends = judged(int(lost), int(won), count).drop_ci95
        assert ends is not None
        hits += ends[0] <= 0.05 <= ends[1]
    assert hits / 400 >= covered


def test_a_pooled_metrics_interval_comes_from_whole_examples() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=80)
    reference, value = truth + random.normal(size=80) * 0.1, truth + random.normal(size=80)
    found = judge("spearman", Predictions(truth, reference, value, range(80)), 0.05, "f")
    assert found.drop is not None
    assert found.drop_ci95 is not None
    assert 0.1 < found.drop_ci95[0] < found.drop < found.drop_ci95[1]
    again = judge("spearman", Predictions(truth, reference, value, range(80)), 0.05, "f")
    assert again == found  # the same predictions, the same interval


def test_words_of_a_sentence_are_drawn_together() -> None:
    truth = np.tile([0.0, 1, 2, 1], 50)
    value = truth.copy()
    value[:20] = 0
    groups = np.repeat(range(50), 4)
    found = judge("accuracy", Predictions(truth, truth, value, groups), None, "f")
    assert found.examples == 50
    assert found.value == pytest.approx(np.mean(truth == value))


@pytest.mark.parametrize(
    ("lost", "allowed", "closed"), [(1, 0.005, False), (2, 0.005, True), (5, None, False)]
)
def test_the_gate_closes_beyond_what_is_allowed(
    lost: int, allowed: float | None, closed: bool
) -> None:
    said = complaint(judged(lost=lost, won=0, count=200, allowed=allowed))
    assert bool(said) == closed
    if closed:
        assert "accuracy falls from 1.0000 to 0.9900, by 1.00%" in said
        assert "max_accuracy_drop=0.005" in said


def test_too_few_examples_to_tell_are_a_doubt() -> None:
    few_examples = judged(lost=0, won=0, count=30, allowed=0.005)
    assert not complaint(few_examples)
    (doubt,) = doubts(few_examples)
    assert "30 examples cannot tell" in doubt.message
    assert not doubts(judged(lost=0, won=0, count=5000, allowed=0.005))
    assert not doubts(judged(lost=0, won=0, count=30))


def test_a_model_that_knows_nothing_is_a_doubt() -> None:
    truth = [0.0] * 30 + [1.0] * 20
    assert chance("accuracy", truth) == 0.6
    blind = judge("accuracy", Predictions(truth, [0.0] * 50, truth, range(50)), None, "f")
    (doubt,) = doubts(blind, chance("accuracy", truth))
    assert "always the commonest answer" in doubt.message
    assert chance("f1", truth) is None


@pytest.mark.parametrize("seed", range(20))
def test_several_labels_are_judged_as_scikit_learn_does(seed):
    random = np.random.default_rng(seed)
    truth, reference, value = random.integers(0, 2, (3, 7, 4))
    codes = [(2 * np.arange(4) + labels).ravel() for labels in (truth, reference, value)]
    groups = np.repeat(np.arange(7), 4)
    for metric, expected in (
        ("micro_f1", oracle.f1_score(truth, value, average="micro", zero_division=0)),
        ("macro_f1", oracle.f1_score(truth, value, average="macro", zero_division=0)),
        ("exact_match", oracle.accuracy_score(truth, value)),
    ):
        result = judge(metric, Predictions(*codes, groups), None, "")
        assert result.value == pytest.approx(expected)
