"""Outputs reduced to answers: padding never counts, and what is not finite is not lost."""

from __future__ import annotations

import numpy as np
import pytest

from honed.instruments.predictions import (
    agreement,
    answers,
    choices_at,
    finite,
    kind_of,
    similarities,
)

MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])


def test_labels_are_choices_and_one_label_a_score() -> None:
    many = answers({"logits": np.array([[0.0, 2, 1], [3, 2, 1]])}, MASK)
    assert kind_of(many) == "choices"
    assert choices_at(many, [(0, 0), (1, 0)]) == [1, 0]
    single = answers({"logits": np.array([[0.5], [-1.5]])}, MASK)
    assert kind_of(single) == "score"
    assert choices_at(single, [(1, 0), (0, 0)]) == [-1.5, 0.5]


def test_words_are_chosen_one_by_one_without_padding() -> None:
    logits = np.zeros((2, 4, 3))
    logits[0, [0, 1, 2], [2, 1, 0]] = 1
    logits[:, 3] = np.nan  # nobody reads what padding gave
    found = answers({"logits": logits}, np.array([[1, 1, 1, 0], [1, 1, 1, 0]]))
    assert finite(found)
    assert [len(a) for a in found] == [3, 3]
    assert choices_at(found, [(0, 0), (0, 1), (0, 2)]) == [2, 1, 0]


def test_an_answers_two_ends_are_within_its_tokens() -> None:
    start, end = np.array([[0.0, 1, 2, 9], [5, 1, 9, 9]]), np.array([[0.0, 3, 2, 9], [1, 2, 9, 9]])
    found = answers({"end_logits": end, "start_logits": start}, MASK)
    assert [a.tolist() for a in found] == [[2, 1], [0, 1]]


def test_vectors_are_compared_by_their_direction() -> None:
    found = answers({"embedding": np.array([[1.0, 0], [1, 1]])}, MASK)
    assert kind_of(found) == "vectors"
    assert similarities(found, [(0, 1), (0, 0)]) == pytest.approx([0.5**0.5, 1])
    longer = [np.array([2.0, 0]), np.array([1.0, 0])]
    assert agreement(found, longer) == pytest.approx([1, 0.5**0.5])


def test_token_vectors_leave_padding_out() -> None:
    states = np.ones((2, 4, 3))
    states[0, 3] = np.nan
    found = answers({"last_hidden_state": states}, MASK)
    assert [a.shape for a in found] == [(3, 3), (2, 3)]
    assert agreement(found, found) == pytest.approx([1, 1])


def test_the_share_of_the_same_choices_agrees() -> None:
    truth, got = [np.array([1, 2, 3, 4]), np.array([1])], [np.array([1, 2, 3, 0]), np.array([1])]
    assert agreement(truth, got) == [0.75, 1]


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": np.array([[0.0, np.nan], [1, 2]])},
        {"embedding": np.array([[0.0, np.inf], [1, 2]])},
        {"start_logits": np.full((2, 4), np.nan), "end_logits": np.zeros((2, 4))},
    ],
)
def test_what_is_not_finite_is_seen(outputs: dict[str, np.ndarray]) -> None:
    found = answers(outputs, MASK)
    assert not finite(found)
    assert agreement([np.zeros(2, int)] * 2, found)[0] == 0


def test_each_of_several_labels_is_decided_by_itself() -> None:
    logits = np.array([[1.0, -2.0, 0.5], [-1.0, -1.0, -1.0], [np.nan, 1.0, 1.0]])
    found = answers({"logits": logits}, np.ones((3, 4)), several=True)
    assert [list(answer) for answer in found[:2]] == [[1, 2, 5], [0, 2, 4]]
    assert not finite(found)
