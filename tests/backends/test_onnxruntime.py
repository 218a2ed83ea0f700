"""ONNX Runtime beyond the contract: refusals, the keys of artifacts, facts read from graphs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.backends import onnxruntime
from honed.backends.base import Calibration, LoadRequest
from honed.backends.onnxruntime import graph, int8_static, session
from honed.case import Case
from honed.errors import ModelError, UnsupportedError
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

SESSION_KNOBS = {knob.name for knob in session.KNOBS}


def request(model: str = "tiny-bert", **changes: Any) -> LoadRequest:
    knobs = {f"onnxruntime.{k}": v for k, v in changes.pop("knobs", {}).items()}
    case = Case(model=model, backend="onnxruntime").replace(knobs=knobs, **changes)
    return LoadRequest(case, materialise(ModelRequest(model)), 1)


def calibrated(ask: LoadRequest, seed: int = 9) -> LoadRequest:
    batches = random_inputs(ask.checkpoint, 1, 12, seed=seed, batches=4).batches
    return LoadRequest(ask.case, ask.checkpoint, 1, Calibration(tuple(batches), "texts"))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"precision": "bf16"}, "backend=torch or openvino"),
        ({"precision": "fp16"}, "precision=int8"),
        ({"device": "cuda"}, "device=cpu"),
        ({"knobs": {"int8": "static"}}, "precision=int8"),
        ({"knobs": {"weight_sign": "signed"}}, "precision=int8"),
        ({"precision": "int4", "knobs": {"weight_range": "full"}}, "precision=int8"),
        ({"precision": "int8", "knobs": {"block_size": 64}}, "precision=int4"),
        ({"precision": "int8", "knobs": {"int8_products": "all"}}, "onnxruntime.int8=static"),
        ({"knobs": {"fusion": "off", "gelu": "tanh"}}, "onnxruntime.fusion=on"),
        ({"knobs": {"fusion": "off", "layer_norm": "apart"}}, "onnxruntime.fusion=on"),
        (
            {"precision": "int8",
             "knobs": {"int8": "static", "int8_products": "all", "attention": "split"}},
            "onnxruntime.attention=plain",
        ),
    ],
)  # fmt: skip
def test_a_setting_without_meaning_is_refused_with_a_hint(changes: Any, hint: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        onnxruntime.check(request(**changes).case)
    assert hint in refused.value.hint


def test_every_choice_about_the_graph_names_another_artifact() -> None:
    """Choices of the session do not: every session loads the same graph."""
    plain = {p: onnxruntime.artifact(request(precision=p)) for p in onnxruntime.PRECISIONS}
    defaults = set(map(json.dumps, plain.values()))
    assert len(defaults) == len(plain)
    for knob in onnxruntime.KNOBS:
        found = set(defaults)
        for value in knob.values:
            for precision in onnxruntime.PRECISIONS:
                knobs = {knob.name.partition(".")[2]: value}
                ask = request(precision=precision, knobs=knobs)
                try:
                    onnxruntime.check(ask.case)
                except UnsupportedError:
                    continue
                found.add(json.dumps(onnxruntime.artifact(ask)))
        if knob.name in SESSION_KNOBS:
            assert found == defaults
        elif knob.name != "onnxruntime.int8_products":  # with static alone
            assert found > defaults


def test_only_calibrated_artifacts_depend_on_the_calibration() -> None:
    for precision, knobs, same in (
        ("fp32", {}, True), ("int4", {}, True), ("int8", {"int8": "dynamic"}, True),
        ("int8", {"int8": "static"}, False),
    ):  # fmt: skip
        ask = request(precision=precision, knobs=knobs)
        first, other = calibrated(ask, 1), calibrated(ask, 2)
        assert (onnxruntime.artifact(first) == onnxruntime.artifact(other)) is same
        assert onnxruntime.artifact(first) == onnxruntime.artifact(calibrated(ask, 1))


def test_models_without_known_patterns_are_not_fused() -> None:
    ask = request("tiny-bert")
    config = {**ask.checkpoint.config, "model_type": "modernbert"}
    other = LoadRequest(ask.case, replace(ask.checkpoint, config=config), 1)
    assert onnxruntime.artifact(ask)["fusion"] == "on"
    assert onnxruntime.artifact(other)["fusion"] == "off"


@pytest.mark.parametrize(
    ("products", "precision"),
    [
        ({"fp32 linear": 12, "fp32 attention": 4}, "fp32"),
        ({"fp32 linear": 11, "int8 linear": 1}, None),
        ({"fp32 linear": 12, "int8 attention": 4}, None),
        ({"int8 linear": 12, "fp32 attention": 4}, "int8"),
        ({"int8 linear": 12, "fp32 linear": 1}, "int8"),
        ({"int4 linear": 12, "fp32 attention": 4}, "int4"),
        ({"fp32 attention": 4}, None),
        ({}, None),
    ],
)
def test_the_precision_is_what_the_linear_layers_run_in(
    products: dict[str, int], precision: str | None
) -> None:
    assert graph.precision_of(Counter(products)) == precision


def model_of(nodes: list[Any], weights: dict[str, Any], inputs: dict[str, Any]) -> Any:
    import onnx
    from onnx import helper

    given = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for k, v in inputs.items()
    ]
    made = helper.make_graph(
        nodes, "g", given, [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def product_and_sum(swapped: bool, twice: bool) -> tuple[Any, dict[str, Any]]:
    """An integer product with its bias added apart; `twice`: its output is used twice."""
    from onnx import helper

    random = np.random.default_rng(0)
    weights = {
        "w": random.integers(-127, 127, (8, 6)).astype(np.int8),
        "s": np.float32(0.02).reshape(()), "t": np.full(6, 0.01, np.float32),
        "z": np.uint8(128).reshape(()), "b": random.standard_normal(6).astype(np.float32),
    }  # fmt: skip
    product = helper.make_node(
        "MatMulIntegerToFloat", ["x", "w", "s", "t", "z"], ["p"], domain="com.microsoft"
    )
    added = helper.make_node("Add", ["b", "p"] if swapped else ["p", "b"], ["q"])
    last = helper.make_node("Add", ["q", "p"] if twice else ["q", "q"], ["y"])
    feed = {"x": random.integers(0, 255, (3, 8)).astype(np.uint8)}
    return model_of([product, added, last], weights, feed), feed


@pytest.mark.engine
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_biases_join_the_products_that_nothing_else_uses(
    tmp_path: Path, swapped: bool, twice: bool
) -> None:
    import onnx
    import onnxruntime as ort

    model, feed = product_and_sum(swapped, twice)
    onnx.save(model, str(tmp_path / "apart.onnx"))
    joined = int8_static.join_biases(tmp_path / "apart.onnx")
    sums = [n for n in onnx.load(str(joined)).graph.node if n.op_type == "Add"]
    assert len(sums) == (2 if twice else 1)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    before, after = (
        ort.InferenceSession(str(p), options, providers=["CPUExecutionProvider"]).run(None, feed)
        for p in (tmp_path / "apart.onnx", joined)
    )
    np.testing.assert_allclose(before[0], after[0], rtol=1e-6)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("weights", "sign", "reach"),
    [
        (np.array([[-128, 127]], np.int8), "signed", "full"),
        (np.array([[-64, 63]], np.int8), "signed", "reduced"),
        (np.array([[0, 255]], np.uint8), "unsigned", "full"),
        (np.array([[0, 127]], np.uint8), "unsigned", "reduced"),
    ],
)
def test_weights_are_read_for_their_type_and_range(weights: Any, sign: str, reach: str) -> None:
    from onnx import helper

    node = helper.make_node(
        "MatMulIntegerToFloat", ["x", "w", "s", "t"], ["y"], domain="com.microsoft"
    )
    scales = {"s": np.float32(1).reshape(()), "t": np.ones(2, np.float32)}
    made = model_of([node], {"w": weights, **scales}, {"x": np.zeros((1, 1), np.uint8)})
    facts = graph.read(made)
    assert facts["products"] == {"int8 linear": 1}
    assert (facts["sign"], facts["range"], facts["scale"]) == (sign, reach, "channel")
    assert facts["way"] == "static"
    assert facts["weights_bytes"] == 2 + 4 + 8


@pytest.mark.engine
def test_a_graph_without_weights_is_refused() -> None:
    from onnx import helper

    made = model_of([helper.make_node("Abs", ["x"], ["y"])], {}, {"x": np.zeros(1, np.float32)})
    with pytest.raises(ModelError, match="no weights"):
        graph.read(made)


@pytest.mark.engine
def test_rounded_graphs_run_the_same_whatever_the_session_rewrites(tmp_path: Path) -> None:
    """No level of the session turns integer products back into fp32 ones."""
    plain = calibrated(request(precision="int8", knobs={"int8": "static"}))
    onnxruntime.build(plain, tmp_path)
    batch = random_inputs(plain.checkpoint, 2, 12, seed=3).batches[0]
    outputs = []
    for level in ("off", "all"):
        knobs = {**plain.case.knobs, "onnxruntime.graph_level": level}
        ask = replace(plain, case=plain.case.replace(knobs=knobs))
        step = onnxruntime.load(ask, tmp_path)
        facts = step.read_back()
        assert facts["precision"] == "int8"
        assert facts["products"] == "12 int8 linear, 4 fp32 attention"
        assert facts["calibration"] == str(plain.calibration)
        outputs.append(step.outputs(step.run(step.prepare(batch)))["embedding"])
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


@pytest.mark.engine
def test_layer_norms_stay_apart_in_the_session_that_runs(tmp_path: Path) -> None:
    """A session with the same options writes out the graph that it runs."""
    import onnx
    import onnxruntime as ort

    onnxruntime.build(request(), tmp_path)
    facts = json.loads((tmp_path / graph.FACTS_FILE).read_text())
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    ort.InferenceSession(
        str(tmp_path / graph.GRAPH_FILE), options, providers=["CPUExecutionProvider"],
        disabled_optimizers=facts["disabled"],
    )  # fmt: skip
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "run.onnx")).graph.node}
    assert "LayerNormalization" in kinds
    assert not kinds & {"SkipLayerNormalization", "EmbedLayerNormalization"}


@pytest.mark.engine
def test_what_the_tracing_exporter_cannot_do_the_newer_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    real = torch.onnx.export

    def failing(*args: Any, dynamo: bool, **options: Any) -> Any:
        if not dynamo:
            raise RuntimeError("an operator that it does not know")
        return real(*args, dynamo=dynamo, **options)

    monkeypatch.setattr(torch.onnx, "export", failing)
    ask = request(knobs={"fusion": "off"})
    onnxruntime.build(ask, tmp_path)
    step = onnxruntime.load(ask, tmp_path)
    for batch_size, length in ((1, 5), (3, 9)):
        batch = random_inputs(ask.checkpoint, batch_size, length, seed=1).batches[0]
        assert len(step.outputs(step.run(step.prepare(batch)))["embedding"]) == batch_size
    assert b".py" not in (tmp_path / graph.GRAPH_FILE).read_bytes()  # no stack trace
