"""CTranslate2 beyond the contract: segments, positions, padding, heads, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_encoders import batch_of, made

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

SHAPES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")


def opened(checkpoint: Checkpoint, folder: Path, precision: str = "fp32") -> Any:
    case = Case(model="m", backend="ctranslate2", precision=precision)
    ask = LoadRequest(case, checkpoint, 1)
    folder.mkdir()
    backend.build(ask, folder)
    return backend.load(ask, folder)


@pytest.mark.parametrize("task", ["feature-extraction", "sequence-classification"])
@pytest.mark.parametrize("model_type", SHAPES)
def test_every_family_gives_torchs_outputs(tmp_path: Path, model_type: str, task: str) -> None:
    checkpoint = made(tmp_path / "model", model_type, task, "none")
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
    checkpoint = made(tmp_path / "model", "bert", "feature-extraction", "none")
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
