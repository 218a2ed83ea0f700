"""CTranslate2 beyond the contract: segments, positions, padding, heads, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.backends import ctranslate2 as backend
from honed.backends import torch as reference
from honed.backends.base import LoadRequest
from honed.case import Case
from honed.errors import UnsupportedError
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

pytestmark = pytest.mark.engine

_SHARED = {"vocab_size": 300, "pad_token_id": 1}
_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
# Norms far from their usual epsilon, and a GELU that is not the exact one, show up in a cosine.
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {**_SMALL, "layer_norm_eps": 0.1, "hidden_act": "gelu_new"},
    "roberta": {**_SMALL, "type_vocab_size": 1},
    "xlm-roberta": {**_SMALL, "type_vocab_size": 2, "pad_token_id": 3},
    "camembert": {**_SMALL, "type_vocab_size": 1},
    "distilbert": {
        "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 40,
    },
}  # fmt: skip


def made(folder: Path, model_type: str, task: str, pooling: str = "none") -> Checkpoint:
    """A small checkpoint whose every parameter, biases and norms too, is random."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **_SHARED | SHAPES[model_type])
    auto = {
        "feature-extraction": transformers.AutoModel,
        "sequence-classification": transformers.AutoModelForSequenceClassification,
    }[task]
    module = auto.from_config(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.1, 0.3)
    module.save_pretrained(folder)
    return materialise(ModelRequest(str(folder), task=task, pooling=pooling))


def opened(checkpoint: Checkpoint, folder: Path, precision: str = "fp32") -> Any:
    case = Case(model="m", backend="ctranslate2", precision=precision)
    ask = LoadRequest(case, checkpoint, 1)
    folder.mkdir()
    backend.build(ask, folder)
    return backend.load(ask, folder)


def batch_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Three lengths, padded on the right, with both segments where there are two."""
    batch = random_inputs(checkpoint, 3, 12, seed=5).batches[0]
    batch["attention_mask"][1, 9:] = 0
    batch["attention_mask"][2, 4:] = 0
    padding = int(checkpoint.config.get("pad_token_id") or 0)
    batch["input_ids"][batch["attention_mask"] == 0] = padding
    if "token_type_ids" in batch:
        batch["token_type_ids"][0, 6:] = 1
    return batch


@pytest.mark.parametrize("task", ["feature-extraction", "sequence-classification"])
@pytest.mark.parametrize("model_type", SHAPES)
def test_every_family_gives_torchs_outputs(tmp_path: Path, model_type: str, task: str) -> None:
    checkpoint = made(tmp_path / "model", model_type, task)
    batch = batch_of(checkpoint)
    truth = reference.load(LoadRequest(Case(model="m"), checkpoint, 1), None)
    wanted = truth.outputs(truth.run(truth.prepare(batch)))
    for precision in backend.PRECISIONS:
        step = opened(checkpoint, tmp_path / precision, precision)
        got = step.outputs(step.run(step.prepare(batch)))
        judged = compare(wanted, got, precision, batch["attention_mask"])
        assert not complaint(judged), precision
        if precision == "fp32":
            assert judged.relative_diff is not None
            assert judged.relative_diff < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooling_leaves_padding_out(tmp_path: Path, pooling: str) -> None:
    checkpoint = made(tmp_path / "model", "bert", "feature-extraction", pooling)
    step = opened(checkpoint, tmp_path / "fp32")
    batch = batch_of(checkpoint)
    truth = reference.load(LoadRequest(Case(model="m"), checkpoint, 1), None)
    wanted = truth.outputs(truth.run(truth.prepare(batch)))["embedding"]
    got = step.outputs(step.run(step.prepare(batch)))["embedding"]
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_padding_on_the_left_is_refused(tmp_path: Path) -> None:
    checkpoint = made(tmp_path / "model", "bert", "feature-extraction")
    step = opened(checkpoint, tmp_path / "fp32")
    batch = random_inputs(checkpoint, 1, 6, seed=0).batches[0]
    batch["attention_mask"][0, :2] = 0
    with pytest.raises(UnsupportedError, match="behind"):
        step.prepare(batch)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"device": "cuda"}, {"task": "masked-lm"}, {"precision": "fp16"}],
)
def test_what_it_cannot_do_is_refused_before_loading(changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError) as refused:
        backend.check(Case(model="m", backend="ctranslate2").replace(**changes))
    assert refused.value.hint


def test_a_family_it_does_not_know_is_refused() -> None:
    checkpoint = materialise(ModelRequest("electra-small"))
    with pytest.raises(UnsupportedError, match="electra") as refused:
        backend.artifact(LoadRequest(Case(model="m"), checkpoint, 1))
    assert "onnxruntime" in refused.value.hint
