"""OpenVINO beyond the contract: properties, calibration, proofs, and no telemetry."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honed.backends import openvino
from honed.backends.base import Calibration, LoadRequest, precision_of_most
from honed.backends.openvino import delivered
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise


def request(threads: int | None = 1, **changes: Any) -> LoadRequest:
    case = Case(model="tiny-bert", backend="openvino").replace(**changes)
    return LoadRequest(case, materialise(ModelRequest("tiny-bert")), threads)


def test_threads_come_with_one_stream_and_no_pinning() -> None:
    wanted = openvino._properties(request(threads=3))
    assert wanted == {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 3,
        "ENABLE_CPU_PINNING": False,
        "NUM_STREAMS": 1,
    }


def test_without_threads_only_the_precision_is_set() -> None:
    assert openvino._properties(request(threads=None)) == {"INFERENCE_PRECISION_HINT": "f32"}


def test_knobs_override_what_threads_imply() -> None:
    knobs = {"openvino.streams": 2, "openvino.pinning": "on", "openvino.hint": "throughput"}
    wanted = openvino._properties(request(threads=2, knobs=knobs))
    assert wanted["NUM_STREAMS"] == 2
    assert wanted["ENABLE_CPU_PINNING"] is True
    assert wanted["PERFORMANCE_HINT"] == "THROUGHPUT"


def test_with_a_hint_the_plugin_chooses_the_streams() -> None:
    wanted = openvino._properties(request(threads=2, knobs={"openvino.hint": "throughput"}))
    assert "NUM_STREAMS" not in wanted


def test_hyper_threading_is_refused_on_cores_with_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino.topology, "read", lambda: openvino.topology.Topology(()))
    assert not openvino._has_siblings("on").ok
    assert openvino._has_siblings("off") == Availability(True)
    with pytest.raises(UnsupportedError, match="two threads"):
        openvino.check(request(knobs={"openvino.hyper_threading": "on"}).case)


def test_other_calibration_is_another_artifact() -> None:
    plain = request(precision="int8")
    batches = tuple(random_inputs(plain.checkpoint, 1, 8, seed=9, batches=2).batches)
    calibrated = LoadRequest(plain.case, plain.checkpoint, 1, Calibration(batches))
    assert openvino.artifact(plain) != openvino.artifact(calibrated)
    assert openvino.artifact(calibrated) == openvino.artifact(calibrated)


def test_bf16_shares_the_graph_of_fp32_and_int8_does_not() -> None:
    plain = openvino.artifact(request())
    assert openvino.artifact(request(precision="bf16")) == plain
    assert openvino.artifact(request(precision="int8")) != plain


@pytest.mark.parametrize(
    ("products", "precision"),
    [
        ({"f32": 72}, "fp32"),
        ({"f32": 71, "bf16": 1}, None),
        ({"bf16": 70, "f32": 2}, "bf16"),
        ({"u8": 39, "i8": 33}, "int8"),
        ({"u4": 71, "u8": 1}, "int4"),
        ({}, None),
    ],
)
def test_the_precision_is_what_the_products_run_in(
    products: dict[str, int], precision: str | None
) -> None:
    types = (openvino._TYPES[kind] for kind in Counter(products).elements())
    assert precision_of_most(types) == precision


@pytest.mark.engine
def test_the_users_calibration_is_used_and_streams_are_read_back(tmp_path: Path) -> None:
    plain = request(precision="int8", knobs={"openvino.streams": 1})
    batches = tuple(random_inputs(plain.checkpoint, 2, 8, seed=9, batches=2).batches)
    ask = LoadRequest(plain.case, plain.checkpoint, 1, Calibration(batches))
    openvino.build(ask, tmp_path)
    step = openvino.load(ask, tmp_path)
    facts = step.read_back()
    assert facts["precision"] == "int8"
    assert facts["kernels"]
    assert facts["openvino.streams"] == 1
    first = step.outputs(step.run(step.prepare(batches[0])))["embedding"]
    kept = first.copy()
    step.run(step.prepare(batches[1]))
    np.testing.assert_array_equal(first, kept)  # outputs survive the next call


def test_bf16_is_refused_where_the_processor_does_not_multiply_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setattr(openvino, "import_openvino", lambda: SimpleNamespace(Core=lambda: core))
    with pytest.raises(UnsupportedError, match="no bf16"):
        openvino.load(request(precision="bf16"), Path())


def test_static_shapes_are_refused_for_sequences_of_many_lengths() -> None:
    static = {"openvino.shapes": "static"}
    openvino.check(request(knobs=static).case)
    with pytest.raises(UnsupportedError, match="many lengths"):
        openvino.check(request(knobs=static, lengths="8..16").case)


@pytest.mark.engine
def test_static_shapes_give_the_same_outputs_in_the_shape_of_the_case_and_in_others(
    tmp_path: Path,
) -> None:
    sizes = {"batch_size": 2, "sequence_length": 8}
    ask = request(**sizes, knobs={"openvino.shapes": "static"})
    openvino.build(ask, tmp_path)
    static, dynamic = openvino.load(ask, tmp_path), openvino.load(request(**sizes), tmp_path)
    assert static.read_back()["openvino.shapes"] == "static"
    assert dynamic.read_back()["openvino.shapes"] == "dynamic"
    for rows, length in ((2, 8), (1, 8), (2, 5)):
        (batch,) = random_inputs(ask.checkpoint, rows, length, seed=1, batches=1).batches
        vectors = [step.outputs(step.run(step.prepare(batch)))["embedding"]
                   for step in (static, dynamic)]  # fmt: skip
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert static.profile(static.prepare(batch))


@pytest.mark.engine
def test_a_delivered_model_with_static_shapes_computes_other_shapes_too(tmp_path: Path) -> None:
    ask = request(batch_size=2, sequence_length=8, knobs={"openvino.shapes": "static"})
    for folder in ("artifact", "delivered"):
        (tmp_path / folder).mkdir()
    openvino.build(ask, tmp_path / "artifact")
    delivery = openvino.deliver(ask, tmp_path / "artifact", tmp_path / "delivered")
    engine = delivered.Engine(tmp_path / "delivered", delivery.settings)
    assert engine.in_force()["shape"] == "[2,8]"
    assert delivered.Engine(tmp_path / "delivered", {}).in_force()["shape"] == "[?,?]"
    step = openvino.load(ask, tmp_path / "artifact")
    for rows, length in ((2, 8), (3, 5), (1, 8)):
        (batch,) = random_inputs(ask.checkpoint, rows, length, seed=1, batches=1).batches
        wanted = step.outputs(step.run(step.prepare(batch)))["embedding"]
        np.testing.assert_allclose(engine(batch)["embedding"], wanted, atol=1e-5)


@pytest.mark.engine
def test_telemetry_stays_off(tmp_path: Path) -> None:
    code = (
        "import sys, honed.backends.openvino as b; b.start(); import nncf\n"
        "from openvino.tools.ovc import telemetry_utils as t\n"
        "print(t.tm.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "telemetry_stub" in done.stdout
    assert not (tmp_path / "intel").exists()
