"""Mistakes of published notes on assignment 2 of Stanford's CS336, one test each.

A doubt or a number of honed shows every one of them. The numbers in the tests are those of the
notes."""

from __future__ import annotations

import statistics
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.phase import ignore_phase
from honed.plan import plan
from honed.record import Samples
from honed.run.passes import traffic
from honed.statistics import sample
from honed.step import StepKind

MIB, GIB = 2**20, 2**30
ENGINE = pytest.mark.engine


def test_a_first_call_in_the_mean_is_a_doubt() -> None:
    """A forward pass of 72 ms with a standard deviation of 122 ms: one slow call of ten."""
    calls = (0.4169, *[0.0340] * 9)
    assert statistics.mean(calls) == pytest.approx(0.0723, abs=1e-4)
    assert statistics.stdev(calls) == pytest.approx(0.1219, abs=1e-3)
    doubts = {d.kind: d.message for d in sample.doubts(Samples((calls,), ((0.0,),)))}
    assert "took 12.3 times the median" in doubts["first_call"]
    assert "makes the standard deviation larger than the mean" in doubts["first_call"]


def test_a_clock_that_stops_before_the_device_has_finished_is_a_doubt() -> None:
    """A forward pass of 0.55 ms over 4,096 tokens, on a GPU that writes 272 GB/s: its scores alone
    have 512 MiB."""
    least_s = 512 * MIB / 272e9
    part = traffic.Part(0.55e-3, least_s, "writing one tensor of scores of 512.0 MiB")
    (doubt,) = traffic.merge(SimpleNamespace(parts=[part])).doubts  # type: ignore[arg-type]
    assert doubt.kind == "traffic"
    assert "a call took 0.55 ms, but writing one tensor of scores of 512.0 MiB" in doubt.message
    assert "1.97 ms on this device: the clock stopped before the work was done" in doubt.message


@ENGINE
def test_a_call_that_only_starts_its_work_is_found_on_this_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, feed = attention(rows=2, length=256)
    monkeypatch.setattr(step, "run", lambda _: None)  # as a GPU's call returns without waiting
    seat = SimpleNamespace(index=0)
    loaded: Any = SimpleNamespace(
        job=SimpleNamespace(seat=seat), on_phase=ignore_phase, step=step, feeds=[feed]
    )
    part = traffic.work(loaded)
    assert part is not None
    merged = traffic.merge(SimpleNamespace(parts=[part]))  # type: ignore[arg-type]
    assert [doubt.kind for doubt in merged.doubts] == ["traffic"]


@ENGINE
def test_memory_of_one_cell_is_not_carried_over_into_the_next() -> None:
    """340 MiB at 256 tokens after 245 MiB at 1,024, in one process. Here even the same process
    gives each cell its own number; honed starts a fresh one for each."""
    before: dict[int, int] = {}
    for length in (1024, 256, 1024):
        step, feed = attention(rows=1, length=length)
        before[length] = step.after_phase_bytes(feed)["forward"]
        scores, tensor = length**2 * 4, length * 32 * 4
        # Queries, keys, values and the gradient of the output; the weights, which the backward
        # pass needs; the output.
        assert before[length] == pytest.approx(scores + 5 * tensor, rel=0.02)
    assert before[1024] > 10 * before[256]


@ENGINE
def test_the_size_of_the_residual_stream_is_that_of_a_real_tensor() -> None:
    """16 x 128 x 768 numbers of 16 bits were said to be 0.75 MiB."""
    sizes = {"model.d_ff": 64, "model.num_layers": 1, "model.vocab_size": 100}
    step, feed = training(
        "lm-small", rows=16, length=128, precision="bf16",
        knobs={**sizes, "torch.bf16": "weights", "until": "backward"},
    )  # fmt: skip
    found = step.memory_timeline(feed)
    assert found.stream_shape == (16, 128, 768)
    assert found.stream_dtype == "bfloat16"
    assert found.stream_bytes / MIB == 3.0


@ENGINE
def test_types_under_autocast_are_observed() -> None:
    """Outputs of layer norms and gradients were said to be 16 bits wide. On a CPU, autocast leaves
    a norm the type of its inputs, which are fp32 in the residual stream."""
    step, _ = training("tiny-bert", rows=2, length=16, precision="bf16", task="masked-lm")
    found = step.mixed_precision()
    norms = {e.module: (e.inputs, e.output) for e in found.modules if e.kind == "LayerNorm"}
    products = {each.output for each in found.modules if each.kind == "Linear"}
    of_layers = {types for module, types in norms.items() if "layer.*" in module}
    assert (of_layers, products) == ({("float32", "float32")}, {"bfloat16"})
    assert norms["cls.predictions.transform.LayerNorm"] == ("bfloat16", "bfloat16")
    assert (found.gradients, found.loss, found.parameters) == ("float32",) * 3


@ENGINE
def test_what_fits_is_not_said_not_to_fit() -> None:
    """The large model was left out on a GPU of 8 GiB, though its forward pass fits."""
    found = plan(
        "model=lm-large", "batch_size=4", "sequence_length=128", "mode=infer", "device=cuda:8GiB"
    ).prediction
    assert found.weights_bytes / GIB == pytest.approx(3.61, abs=0.005)
    assert found.fits is True


def attention(rows: int, length: int) -> tuple[Any, Any]:
    case = Case(model="none", workload="attention", batch_size=rows, sequence_length=length,
                knobs={"attention": "naive", "d_model": 32})  # fmt: skip
    backend = load_backend("torch")
    backend.start()
    step: Any = backend.load(LoadRequest(case, None, 1, step=StepKind.KERNEL), None)
    mask = np.ones((rows, length), np.int64)
    return step, step.prepare({"input_ids": mask, "attention_mask": mask})


def training(model: str, rows: int, length: int, **settings: Any) -> tuple[Any, Any]:
    case = Case(model=model, workload="train_step", batch_size=rows, sequence_length=length)
    case = case.replace(**settings)
    checkpoint = materialise(ModelRequest.from_case(case))
    backend = load_backend("torch")
    backend.start()
    step: Any = backend.load(LoadRequest(case, checkpoint, 1, step=StepKind.TRAINING), None)
    feed = step.prepare(random_inputs(checkpoint, rows, length, seed=1).batches[0])
    step.run(feed)
    return step, feed
