"""What Inductor compiles: proofs from its own graphs, the library that is built once, int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honed.backends import torch as backend
from honed.backends.base import LoadRequest
from honed.case import Case
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise

pytestmark = pytest.mark.engine


def request(precision: str = "fp32", **knobs: Any) -> LoadRequest:
    named = {f"torch.{name}": value for name, value in knobs.items()}
    case = Case(model="tiny-bert", precision=precision, batch_size=2, knobs=named)
    backend.check(case)
    return LoadRequest(case, materialise(ModelRequest("tiny-bert")), 1)


def ragged(ask: LoadRequest, rows: int, length: int) -> dict[str, Any]:
    batch = random_inputs(ask.checkpoint, rows, length, seed=length).batches[0]
    batch["attention_mask"][1:, length // 2 :] = 0
    return batch


def judged(step: Any, precision: str, rows: int = 2, length: int = 11) -> str:
    """What is wrong with the outputs; empty when nothing is."""
    ask = request()
    plain, batch = backend.load(ask, None), ragged(ask, rows, length)
    wanted, got = (s.outputs(s.run(s.prepare(batch))) for s in (plain, step))
    return complaint(compare(wanted, got, precision))


def test_bf16_frozen_is_what_it_says() -> None:
    step = backend.load(request("bf16", mode="compile", freezing="on"), None)
    assert not judged(step, "bf16")
    told = step.read_back()
    assert told["precision"] == "bf16"
    assert told["torch.freezing"] == "on"
    assert told["torch.bf16"] == "weights"


@pytest.mark.parametrize("mode", ["compile", "aoti"])
def test_static_int8_is_calibrated_once_and_runs_integer_products(
    mode: str, tmp_path: Path
) -> None:
    plain = request("int8", int8="static", mode=mode)
    batches = tuple(random_inputs(plain.checkpoint, 1, 24, seed=9, batches=3).batches)
    ask = LoadRequest(plain.case, plain.checkpoint, 1, batches, "the test")
    assert backend.artifact(ask) != backend.artifact(plain)
    backend.build(ask, tmp_path)
    step = backend.load(ask, tmp_path)
    assert not judged(step, "int8")
    if mode == "aoti":  # one library takes any batch and length
        assert not judged(step, "int8", rows=1, length=24)
        assert not judged(step, "int8", rows=5, length=128)
    told = step.read_back()
    assert told["precision"] == "int8"
    assert told["torch.int8"] == "static"
    assert told["torch.mode"] == mode
    assert told["torch.attention"] == "sdpa"
    assert told["torch.freezing"] == "on"
    assert told["calibration"] == ask.calibrated_on
    assert step.weights_bytes < 0.8 * ask.checkpoint.weights_bytes


def test_another_setting_is_another_library() -> None:
    plain = backend.artifact(request(mode="aoti"))
    others = [
        backend.artifact(request(mode="aoti", freezing="on")),
        backend.artifact(request(mode="aoti", attention="eager")),
        backend.artifact(request("bf16", mode="aoti")),
        backend.artifact(request("int8", mode="aoti", int8="static")),
    ]
    assert plain == backend.artifact(request(mode="aoti"))
    assert len({str(a) for a in (plain, *others)}) == 5
    assert backend.artifact(request(mode="compile")) is None
