"""Keras beyond the contract: each family's layers and heads, refusals, and threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import engine_steps
import pytest

from honed.backends import keras
from honed.backends.base import LoadRequest, load_backend
from honed.backends.keras.families import FAMILIES, family_of, sizes
from honed.case import Case
from honed.errors import UnsupportedError
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.run.parent import measure

LENGTH = 11
SMALL: dict[str, Any] = {
    "vocab_size": 90,
    "max_position_embeddings": 40,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
# Each has something that a class of keras-hub does not fix the same way.
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {**SMALL, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
    "roberta": {**SMALL, "type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {**SMALL, "type_vocab_size": 1, "pad_token_id": 1, "hidden_act": "relu"},
    "distilbert": {
        "vocab_size": 90, "max_position_embeddings": 40, "n_layers": 2, "dim": 32, "n_heads": 2,
        "hidden_dim": 48,
    },
    "electra": {**SMALL, "embedding_size": 16, "hidden_act": "gelu"},
}  # fmt: skip


def made(folder: Path, model_type: str, architecture: str, **changes: Any) -> Checkpoint:
    """A checkpoint with large random weights, so that a wrong one shows."""
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type], **changes)
    torch.manual_seed(5)
    module = getattr(transformers, f"Auto{architecture}").from_config(config)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.3)
    module.save_pretrained(folder)
    return materialise(ModelRequest(str(folder)))


def outputs(backend_name: str, ask: LoadRequest, batch: Any, folder: Path) -> dict[str, Any]:
    backend = load_backend(backend_name)
    backend.start()
    if backend.artifact(ask) is not None:
        folder.mkdir(exist_ok=True)
        backend.build(ask, folder)
    step = backend.load(ask, folder)
    return dict(step.outputs(step.run(step.prepare(batch))))


@pytest.mark.engine
@pytest.mark.parametrize("architecture", ["Model", "ModelForSequenceClassification"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_and_head_is_the_checkpoints(
    model_type: str, architecture: str, tmp_path: Path
) -> None:
    checkpoint = made(tmp_path / "model", model_type, architecture)
    case = Case(model=str(checkpoint.folder), backend="keras")
    ask = LoadRequest(case, checkpoint, 1)
    batch = dict(random_inputs(checkpoint, 2, LENGTH, seed=3).batches[0])
    batch["attention_mask"] = batch["attention_mask"].copy()
    batch["attention_mask"][1, 6:] = 0
    if "token_type_ids" in batch:
        batch["token_type_ids"] = batch["token_type_ids"].copy()
        batch["token_type_ids"][:, 3:] = 1
    wanted = outputs("torch", ask, batch, tmp_path)
    got = outputs("keras", ask, batch, tmp_path / "carried")
    judged = compare(wanted, got, "fp32")
    assert not complaint(judged)
    assert judged.relative_diff is not None
    assert judged.relative_diff < 1e-4


def checkpoint_of(model_type: str, task: str = "feature-extraction", **config: Any) -> Checkpoint:
    base = {**CONFIGS.get(model_type, SMALL), "model_type": model_type, **config}
    return Checkpoint(Path(), "key", "folder", base, task, "mean", 40, 90, 1, False)


@pytest.mark.parametrize(
    ("checkpoint", "why"),
    [
        (checkpoint_of("modernbert"), "modernbert"),
        (checkpoint_of("bert", "question-answering"), "question-answering"),
        (checkpoint_of("bert", hidden_act="swiglu"), "swiglu"),
        (checkpoint_of("bert", position_embedding_type="relative_key"), "relative positions"),
        (checkpoint_of("bert", is_decoder=True), "causal"),
        (checkpoint_of("roberta", type_vocab_size=2), "token types"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_keras_hub_cannot_express_is_refused(checkpoint: Checkpoint, why: str) -> None:
    with pytest.raises(UnsupportedError, match=why) as refused:
        family_of(checkpoint)
    assert refused.value.hint


def test_roberta_has_two_position_rows_less_than_its_file() -> None:
    checkpoint = Checkpoint(
        Path(), "key", "folder", {**CONFIGS["roberta"], "model_type": "roberta"},
        "feature-extraction", "mean", 38, 90, 1, False,
    )  # fmt: skip
    assert sizes(checkpoint)["max_sequence_length"] == 38


def test_onednn_is_refused_where_tensorflows_kernels_are_not_called() -> None:
    case = Case(model="m", backend="keras", knobs={"keras.mode": "jax", "keras.onednn": "on"})
    with pytest.raises(UnsupportedError) as refused:
        keras.check(case)
    assert "graph" in refused.value.hint


@pytest.mark.engine
def test_a_process_of_another_engine_is_refused(tmp_path: Path) -> None:
    """Here Keras runs on TensorFlow; it cannot change in a process."""
    keras.start()
    from honed.backends.keras.step import step_for

    case = Case(model="m", backend="keras", knobs={"keras.mode": "jax"})
    with pytest.raises(UnsupportedError, match="tensorflow"):
        step_for(LoadRequest(case, checkpoint_of("bert"), 1), tmp_path)


COUNT = """
import os, sys, time
from pathlib import Path
from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.instruments import threads
from honed.machine import affinity, limits
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.models.inputs import random_inputs
from honed.run.passes.proofs import burst_of
cpus = limits.own_affinity()[:2]
affinity.pin(cpus)
backend, checkpoint = load_backend("keras"), materialise(ModelRequest("tiny-bert"))
backend.start()
for mode in sys.argv[2:]:
    case = Case(model="tiny-bert", backend="keras", knobs={"keras.mode": mode})
    step = backend.load(LoadRequest(case, checkpoint, len(cpus)), Path(sys.argv[1]))
    feed = step.prepare(random_inputs(checkpoint, 8, 128, seed=0).batches[0])
    for _ in range(5):
        step.run(feed)
    facts = step.read_back()
    running = min(burst_of(step, feed, facts)[1] for _ in range(3))
    print(mode, facts["threads"] == len(cpus), running <= len(cpus))
"""


@pytest.mark.engine
@pytest.mark.parametrize("modes", [("eager", "graph", "xla"), ("jax",)], ids="-".join)
def test_no_more_threads_compute_at_once_than_asked(modes: tuple[str, ...]) -> None:
    """With two threads or more, the calling thread and the pool's threads take turns."""
    engine = "jax" if modes == ("jax",) else "tensorflow"
    folder = engine_steps.artifact(engine_steps.request("keras"))
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(folder), *modes],
        env={**os.environ, "KERAS_BACKEND": engine, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"{mode} True True" for mode in modes], done.stderr[-2000:]


@pytest.mark.engine
def test_a_short_graph_on_one_thread_is_proven() -> None:
    """Work of the calling thread between short calls must not count as a second thread."""
    record = measure(
        Case(
            model="tiny-bert", backend="keras", threads=1, sequence_length=12, duration_s=0.1,
            warmup_s=0.1, memory=False, knobs={"keras.mode": "graph"},
        )
    )  # fmt: skip
    assert record.ok, record.error
    (effective,) = record.effective
    assert effective["threads_running"] == effective["threads"] == 1
    assert effective["caller"] == "waits"
