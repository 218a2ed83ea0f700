"""Packing: the same outputs from the real tokens alone, for every kind of encoder."""

from __future__ import annotations

from typing import Any

import engine_steps
import numpy as np
import pytest
from engine_steps import outputs
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.backends import torch as backend
from honed.backends.base import LoadRequest
from honed.case import Case
from honed.errors import UnsupportedError
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.models.presets import PRESETS, Preset

LENGTHS = (3, 40, 17, 1)
SMALL = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function: a preset's name -> the checkpoint of its kind made small."""

    def make(name: str, task: str = "auto", **more: Any) -> Any:
        plain = PRESETS[name]
        config = {**plain.config, **SMALL, **more}
        if plain.model_type == "distilbert":
            config |= {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
        if plain.model_type == "llama":
            config |= {"num_key_value_heads": 1}
        config |= {key: 4 for key in config if key.endswith("_token_id") and config[key] > 300}
        shape = Preset(f"small-{name}", plain.model_type, config, "", plain.default_task,
                       plain.pooling)  # fmt: skip
        monkeypatch.setitem(PRESETS, shape.name, shape)
        return materialise(ModelRequest(shape.name, task=task))

    return make


def step(checkpoint: Any, **changes: Any) -> Any:
    case = Case(model="m", task=checkpoint.task).replace(**changes)
    backend.check(case)
    return backend.load(LoadRequest(case, checkpoint, 1), None)


def ragged(checkpoint: Any, lengths: Any = LENGTHS, seed: int = 0) -> dict[str, Any]:
    batch = random_inputs(checkpoint, len(lengths), max(lengths), seed).batches[0]
    for row, length in enumerate(lengths):
        batch["attention_mask"][row, length:] = 0
        batch["input_ids"][row, length:] = checkpoint.config.get("pad_token_id") or 0
    return batch


PACKED = {"torch.packed": "on"}


@pytest.mark.engine
@pytest.mark.parametrize(
    "name",
    ["bert-base-uncased", "roberta-base", "distilbert-base-uncased", "electra-small",
     "modernbert-base", "lm-small"],
)  # fmt: skip
def test_real_tokens_come_out_as_from_a_padded_batch(name: str, small: Any) -> None:
    checkpoint = small(name, "feature-extraction", local_attention=16)
    batch = ragged(checkpoint)
    plain = outputs(step(checkpoint), batch)["embedding"]
    packed = step(checkpoint, knobs=PACKED)
    np.testing.assert_allclose(outputs(packed, batch)["embedding"], plain, atol=2e-5)
    assert packed.read_back()["torch.packed"] == "on"


@pytest.mark.engine
@pytest.mark.parametrize(
    "task",
    ["sequence-classification", "token-classification", "question-answering", "masked-lm"],
)
def test_heads_see_what_they_always_saw(task: str) -> None:
    checkpoint = materialise(ModelRequest("tiny-bert", task=task))
    batch = ragged(checkpoint)
    plain, got = (outputs(step(checkpoint, knobs=k), batch) for k in ({}, PACKED))
    real = batch["attention_mask"].astype(bool)
    for name, wanted in plain.items():
        tokens = wanted.ndim > 2 or task == "question-answering"
        chosen = real if tokens else slice(None)
        np.testing.assert_allclose(got[name][chosen], wanted[chosen], atol=2e-5)


@pytest.mark.engine
@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_other_precisions_pack_too(precision: str) -> None:
    checkpoint = materialise(ModelRequest("tiny-bert"))
    batch = ragged(checkpoint)
    plain = outputs(step(checkpoint), batch)["embedding"]
    made = step(checkpoint, precision=precision, knobs=PACKED)
    got = outputs(made, batch)["embedding"]
    cosine = (plain * got).sum(1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(got, axis=1)
    assert cosine.min() > 0.95
    assert made.read_back()["precision"] == precision


@pytest.mark.engine
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 24), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_any_lengths(lengths: list[int], seed: int) -> None:
    """A sequence without tokens has an output too; its values do not matter."""
    lengths = [*lengths, 24]
    batch = ragged(engine_steps.checkpoint("torch"), lengths, seed)
    steps = (engine_steps.loaded("torch", knobs=knobs).step for knobs in ({}, PACKED))
    plain, got = (outputs(loaded, batch)["embedding"] for loaded in steps)
    some = np.array(lengths) > 0
    np.testing.assert_allclose(got[some], plain[some], atol=2e-5)
    assert np.isfinite(got).all()


@pytest.mark.engine
def test_linear_layers_see_real_tokens_only() -> None:
    import torch

    checkpoint = materialise(ModelRequest("tiny-bert"))
    made = step(checkpoint, knobs=PACKED)
    seen: list[tuple[int, ...]] = []
    for part in made.runner.module.modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    outputs(made, ragged(checkpoint))
    in_layers = [shape for shape in seen if len(shape) == 3]
    assert in_layers
    assert {shape[:2] for shape in in_layers} == {(1, sum(LENGTHS))}


@pytest.mark.engine
def test_the_mask_that_was_fed_stays_as_it_was() -> None:
    checkpoint = materialise(ModelRequest("tiny-bert"))
    made = step(checkpoint, knobs=PACKED)
    feed = made.prepare(ragged(checkpoint, (0, 3)))
    made.run(feed)
    assert feed[1].tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.engine
def test_attention_that_cannot_be_replaced_is_refused(small: Any) -> None:
    checkpoint = small("deberta-v3-small")
    with pytest.raises(UnsupportedError, match="deberta-v2's attention"):
        step(checkpoint, knobs=PACKED)


@pytest.mark.parametrize(
    ("knobs", "hint"),
    [
        ({"torch.mode": "compile"}, "torch.mode=eager"),
        ({"torch.attention": "eager"}, "torch.attention=sdpa"),
        ({"torch.buckets": 16}, "unset torch.buckets"),
    ],
)
def test_what_cannot_be_packed_is_refused(knobs: dict[str, Any], hint: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        backend.check(Case(model="m", knobs={**PACKED, **knobs}))
    assert hint in refused.value.hint


@pytest.mark.parametrize(("packed", "skips"), [("on", True), ("off", None)])
def test_it_says_that_padding_is_skipped(small: Any, packed: str, skips: bool | None) -> None:
    checkpoint = small("bert-base-uncased")
    loaded = step(checkpoint, knobs={"torch.packed": packed})
    loaded.run(loaded.prepare(ragged(checkpoint)))
    assert loaded.read_back()["skips_padding"] is skips
