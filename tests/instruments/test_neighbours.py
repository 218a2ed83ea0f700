"""The batches in which a text stands beside other neighbours, and what comes of comparing them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.case import PRECISIONS
from honed.instruments import neighbours

PADDING = 9


def batch(*lengths: int, width: int | None = None, first: int = 100) -> dict[str, Any]:
    """Sequences of these lengths; row r holds the ids first + 10 r, first + 10 r + 1, ..."""
    mask = (np.arange(width or max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = first + 10 * np.arange(len(lengths))[:, None] + np.arange(mask.shape[1])
    return {"input_ids": np.where(mask == 1, ids, PADDING), "attention_mask": mask}


BATCHES = [batch(2, 4, 3), batch(7, 1, 5, first=200), batch(6, 6, 6, first=300)]


def by_token(batch: Any, drift: float = 0.0, padding: float = 0.0) -> dict[str, Any]:
    """Vectors [batch, 32] that drift towards the mean of the batch, or with its padding."""
    mask = batch["attention_mask"][:, :, None]
    waves = np.sin(batch["input_ids"][:, :, None] * np.arange(1, 33) / 7) * mask
    vectors = waves.sum(axis=1) / mask.sum(axis=1)
    vectors = vectors + drift * (vectors.mean(axis=0) - vectors)
    return {"embedding": vectors + padding * (1 - mask).sum(axis=1)}


def test_every_precision_has_a_tolerance() -> None:
    assert set(neighbours.TOLERANCES) == set(PRECISIONS)


def test_int8_is_asked_about_more_texts_than_what_only_rounds() -> None:
    counts = {precision: neighbours.texts_for(precision) for precision in PRECISIONS}
    assert counts == {"fp32": 1, "bf16": 1, "fp16": 1, "int8": 4, "int4": 4}
    assert [text.length for text in neighbours.chosen_texts(BATCHES, 1)] == [1]


def test_texts_are_spread_from_the_shortest_to_the_longest() -> None:
    texts = neighbours.chosen_texts(BATCHES, 3)
    assert [text.length for text in texts] == [1, 5, 7]
    assert texts[0].ids["input_ids"].tolist() == [210]
    assert len(neighbours.chosen_texts(BATCHES, 99)) == 9
    assert neighbours.chosen_texts([batch(0, 0, width=1)], 4) == []


def test_every_batch_has_a_shape_of_the_inputs_and_holds_the_texts() -> None:
    texts = neighbours.chosen_texts(BATCHES, 4)
    shapes = {b["input_ids"].shape for b in BATCHES}
    for placings in (
        neighbours.alone(texts, BATCHES, PADDING),
        neighbours.as_given(texts, BATCHES),
        neighbours.among_the_longest(texts, BATCHES, PADDING),
    ):
        placed = []
        for placing in placings:
            assert placing.batch["input_ids"].shape in shapes
            for number, row in placing.rows.items():
                text = texts[number]
                ids = placing.batch["input_ids"][row]
                mask = placing.batch["attention_mask"][row]
                assert ids[: text.length].tolist() == text.ids["input_ids"].tolist()
                assert (ids[text.length :] == PADDING).all()
                assert mask.sum() == mask[: text.length].sum() == text.length
                placed.append(number)
        assert sorted(placed) == [0, 1, 2, 3]


def test_alone_means_beside_copies_in_the_narrowest_batch() -> None:
    placing, *_ = neighbours.alone(neighbours.chosen_texts(BATCHES, 4), BATCHES, PADDING)
    assert placing.batch["input_ids"].tolist() == [[210, 9, 9, 9]] * 3


def test_the_longest_row_of_the_widest_batch_stays() -> None:
    texts = neighbours.chosen_texts(BATCHES, 4)
    placings = neighbours.among_the_longest(texts, BATCHES, PADDING)
    assert len(placings) == 2  # two rows are free in each call
    for placing in placings:
        assert placing.batch["input_ids"][0].tolist() == [*range(200, 207)]


def test_an_engine_that_looks_at_each_text_alone_has_cosine_1() -> None:
    assert neighbours.least_cosine(BATCHES, PADDING, by_token, 4) == pytest.approx(1)


@pytest.mark.parametrize("by", [{"drift": 0.3}, {"padding": 0.3}])
def test_an_engine_that_looks_at_the_batch_has_less(by: dict[str, float]) -> None:
    least = neighbours.least_cosine(BATCHES, PADDING, lambda b: by_token(b, **by), 4)
    assert least is not None
    assert least < 0.99


def test_texts_of_one_length_have_neighbours_too() -> None:
    batches = [batch(4, 4, first=100), batch(4, 4, first=200)]
    assert neighbours.least_cosine(batches, PADDING, by_token, 4) == pytest.approx(1)
    least = neighbours.least_cosine(batches, PADDING, lambda b: by_token(b, drift=0.5), 4)
    assert least is not None
    assert least < 0.99


def test_token_vectors_are_compared_without_their_padding() -> None:
    def noisy_padding(batch: Any) -> dict[str, Any]:
        mask = batch["attention_mask"][:, :, None]
        vectors = np.sin(batch["input_ids"][:, :, None] * np.arange(1, 33))
        noise = np.random.default_rng(mask.shape[1]).normal(size=vectors.shape)
        return {"last_hidden_state": np.where(mask == 1, vectors, noise)}

    assert neighbours.least_cosine(BATCHES, PADDING, noisy_padding, 4) == pytest.approx(1)


def test_scores_and_answer_spans_are_compared() -> None:
    def scores(batch: Any) -> dict[str, Any]:
        start = np.sin(batch["input_ids"] * 1.0)
        return {"start_logits": start, "end_logits": start, "score": start[:, 0]}

    assert neighbours.least_cosine(BATCHES, PADDING, scores, 4) == pytest.approx(1)


def test_a_batch_of_one_has_no_neighbours() -> None:
    assert neighbours.least_cosine([batch(3), batch(5)], PADDING, by_token, 4) is None


def test_the_padding_id_is_that_of_the_inputs() -> None:
    assert neighbours.find_padding_id(BATCHES, 1) == PADDING
    assert neighbours.find_padding_id([batch(4, 4)], 1) == 1
