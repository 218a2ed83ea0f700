"""Whatever decides the content of a cached thing is part of its name; what does not, is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import artifacts
from honed.case import Case
from honed.models.checkpoint import ModelRequest, inspect
from honed.models.tiny import write_safetensors
from honed.run.job import Prepared
from honed.run.prepare import needs_of

CONFIG = {
    "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 64, "hidden_size": 8,
    "max_position_embeddings": 64, "type_vocab_size": 2, "pad_token_id": 0,
}  # fmt: skip
ALL = {"inputs", "calibration", "reference", "evaluation", "evaluated"}
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "spiece.model",
    "special_tokens_map.json", "added_tokens.json", "sentence_bert_config.json",
    "config_sentence_transformers.json",
)  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_safetensors(folder / "model.safetensors", {"a": np.ones((3, 4), np.float32)})
    for name in TOKENIZER:
        (folder / name).write_text("{}")
    for name in ("texts.txt", "texts.csv"):
        (tmp_path / name).write_text("text\n" + "one\n" * 20)
    (tmp_path / "eval.jsonl").write_text('{"text": "a"}')
    return folder


def random_ids(model: Path, **changes: Any) -> Case:
    """A Case that needs everything: it is calibrated, and its accuracy is asked for."""
    needs: dict[str, Any] = {"backend": "fake", "precision": "int8", "max_accuracy_drop": 0.1}
    return Case(**{"model": str(model), "sequence_length": 16, **needs, **changes})


def texts(model: Path, **changes: Any) -> Case:
    return random_ids(model, **{"inputs": str(model.parent / "texts.txt"), **changes})


def judged(model: Path, **changes: Any) -> Case:
    return random_ids(model, **{"eval": str(model.parent / "eval.jsonl"), **changes})


def names(case: Case) -> dict[str, str]:
    prepared = Prepared(inspect(Path(case.model), ModelRequest.from_case(case)))
    abouts = {need.kind: need.about(case, prepared) for need in needs_of(case)}
    return {kind: artifacts.content_key(about) for kind, about in abouts.items() if about}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys() == ALL
    return {kind for kind in before if before[kind] != after[kind]}


@pytest.mark.parametrize("file", TOKENIZER)
def test_tokens_are_named_by_each_file_of_the_tokenizer(model: Path, file: str) -> None:
    before = names(texts(model)), names(judged(model)), names(random_ids(model))
    (model / file).write_text('{"other": 1}')
    assert changed(before[0], names(texts(model))) == ALL
    assert changed(before[1], names(judged(model))) == {"evaluation", "evaluated"}
    assert changed(before[2], names(random_ids(model))) == set()


@pytest.mark.parametrize(
    "config",
    [
        {"type_vocab_size": 1}, {"pad_token_id": 7}, {"cls_token_id": 9}, {"vocab_size": 65},
        {"model_type": "roberta"}, {"max_position_embeddings": 80},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [random_ids, texts])
def test_a_models_inputs_special_ids_and_positions_are_named(
    model: Path, kind: Callable[[Path], Case], config: dict[str, Any]
) -> None:
    before = names(kind(model))
    (model / "config.json").write_text(json.dumps(CONFIG | config))
    assert changed(before, names(kind(model))) == ALL


SHAPE = {"inputs", "reference", "evaluation", "evaluated"}


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (random_ids, {"seed": 1}, {"inputs", "reference"}),
        (random_ids, {"batch_size": 3}, {"inputs", "reference", "evaluation"}),
        (random_ids, {"batches": 2}, set()),
        (random_ids, {"sequence_length": 8}, SHAPE),
        (random_ids, {"lengths": "2..8"}, {"inputs", "reference", "calibration"}),
        (random_ids, {"pooling": "cls"}, {"reference", "evaluation", "evaluated"}),
        (judged, {"eval_metric": "f1"}, {"evaluation", "evaluated"}),
        (random_ids, {"knobs": {"padding": "max"}}, {"inputs", "reference"}),
        (texts, {"batch_size": 3}, {"inputs", "reference", "evaluation"}),
        (texts, {"sequence_length": 8}, SHAPE),
        (texts, {"inputs_field": "body"}, ALL),
        (texts, {"threads": 1}, set()),
        (judged, {"pooling": "cls"}, {"reference", "evaluation", "evaluated"}),
        (random_ids, {"threads": 1, "instances": 2}, set()),
        (random_ids, {"duration_s": 9.0}, set()),
    ],
)
def test_each_setting_that_decides_is_named(
    model: Path, kind: Callable[..., Case], change: dict[str, Any], expected: set[str]
) -> None:
    assert changed(names(kind(model)), names(replace(kind(model), **change))) == expected


def test_files_are_named_by_their_content_and_their_kind(model: Path) -> None:
    before = names(texts(model))
    as_table = texts(model, inputs=str(model.parent / "texts.csv"))
    assert changed(before, names(as_table)) == ALL  # the same bytes, read in another way
    (model.parent / "texts.txt").write_text("two\n" * 20)
    assert changed(before, names(texts(model))) == ALL
    before = names(judged(model))
    (model.parent / "eval.jsonl").write_text('{"text": "b"}')
    assert changed(before, names(judged(model))) == {"evaluation", "evaluated"}


def test_weights_name_all_but_random_ids(model: Path) -> None:
    before = names(random_ids(model)), names(texts(model))
    write_safetensors(model / "model.safetensors", {"a": np.zeros((3, 4), np.float32)})
    assert changed(before[0], names(random_ids(model))) == ALL - {"inputs"}
    assert changed(before[1], names(texts(model))) == ALL
