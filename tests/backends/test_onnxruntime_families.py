"""ONNX Runtime: every family of models, and heads, through export, fusion and rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_steps import outputs

from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

pytestmark = pytest.mark.engine

# Blocks of 32 weights divide the sizes. With two layers, the end of a layer meets another one.
SHAPE = {"vocab_size": 99, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 128, "max_position_embeddings": 40}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SHAPE,
    "roberta": SHAPE,
    "xlm-roberta": SHAPE,
    "electra": {**SHAPE, "embedding_size": 32},
    "distilbert": {"vocab_size": 99, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
    "modernbert": {**SHAPE, "pad_token_id": 0, "global_attn_every_n_layers": 2},
}
FUSED = {"bert", "roberta", "xlm-roberta", "electra", "distilbert"}


def checkpoint(folder: Path, family: str, task: str = "feature-extraction") -> Checkpoint:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **FAMILIES[family], num_labels=3)
    kind = {
        "feature-extraction": transformers.AutoModel,
        "sequence-classification": transformers.AutoModelForSequenceClassification,
    }[task]
    kind.from_config(config).save_pretrained(folder)
    return materialise(ModelRequest(str(folder), task=task))


def batch_of(model: Checkpoint) -> dict[str, Any]:
    batch = dict(random_inputs(model, 2, 12, seed=3).batches[0])
    batch["attention_mask"] = batch["attention_mask"].copy()
    batch["attention_mask"][1, 9:] = 0
    return batch


def reference(model: Checkpoint) -> dict[str, Any]:
    ask = LoadRequest(Case(model=str(model.folder)), model, 1)
    return outputs(load_backend("torch").load(ask, None), batch_of(model))


def read_back(
    model: Checkpoint, wanted: dict[str, Any], folder: Path, **changes: Any
) -> dict[str, Any]:
    """Build, load and run; the outputs must be `wanted`. Returns what the step reads back."""
    backend, batch = load_backend("onnxruntime"), batch_of(model)
    case = Case(model=str(model.folder), backend="onnxruntime").replace(**changes)
    ask = LoadRequest(case, model, 1)
    backend.check(case)
    folder.mkdir()
    backend.build(ask, folder)
    step = backend.load(ask, folder)
    got = outputs(step, batch)
    assert not complaint(compare(wanted, got, case.precision, np.asarray(batch["attention_mask"])))
    return dict(step.read_back())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_in_every_precision(tmp_path: Path, family: str) -> None:
    model = checkpoint(tmp_path / "model", family)
    wanted = reference(model)
    for index, changes in enumerate([
        {}, {"precision": "int8"}, {"precision": "int4"},
        {"precision": "int8", "knobs": {"onnxruntime.int8": "static"}},
    ]):  # fmt: skip
        facts = read_back(model, wanted, tmp_path / str(index), **changes)
        assert facts["precision"] == changes.get("precision", "fp32")
        assert facts["onnxruntime.fusion"] == ("on" if family in FUSED else "off")
        assert facts["onnxruntime.layer_norm"] == "apart"
        if family in FUSED:
            assert facts["onnxruntime.attention"] == "split"
        kinds = str(facts["products"]).replace(",", "").split()[1::3]
        assert facts["precision"] in kinds
        if family in FUSED:
            assert set(kinds) == {facts["precision"], "fp32"}


@pytest.mark.parametrize(
    ("way", "products"),
    [
        ("dynamic", "14 int8 linear, 4 fp32 attention"),
        ("static", "12 int8 linear, 4 fp32 attention, 2 fp32 linear"),
    ],
)
def test_a_classifiers_head_is_rounded_where_it_has_an_integer_kernel(
    tmp_path: Path, way: str, products: str
) -> None:
    model = checkpoint(tmp_path / "model", "bert", "sequence-classification")
    changes = {"precision": "int8", "knobs": {"onnxruntime.int8": way}}
    facts = read_back(model, reference(model), tmp_path / "graph", **changes)
    assert facts["products"] == products
