"""Modules on the meta device: the real sizes, and no memory for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from honed.errors import ModelError, UnsupportedError
from honed.models.checkpoint import ModelRequest, inspect
from honed.models.presets import PRESETS

pytestmark = pytest.mark.engine

TASKS = ("BertModel", "BertForSequenceClassification", "BertForMaskedLM")


def meta(model, *args, **options):
    from honed.models.torch.meta import meta_module

    return meta_module(model, *args, **options)


def sizes(module):
    """Parameters by name, tied ones once: shape, type and bytes."""
    return {n: (tuple(p.shape), p.dtype, p.nbytes) for n, p in module.named_parameters()}


@pytest.mark.parametrize("architecture", TASKS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_checkpoint_has_the_tensors_that_loading_it_gives(trained, architecture, dtype):
    from honed.models.torch.module import load_module

    checkpoint = inspect(trained(architecture), ModelRequest("any"))
    module = meta(checkpoint, dtype=dtype)
    real = load_module(checkpoint, dtype=dtype)
    assert sizes(module) == sizes(real)
    assert type(module) is type(real)
    assert not module.training
    assert all(p.is_meta for p in module.parameters())
    if dtype == "float32":
        assert sum(p.nbytes for p in module.parameters()) == checkpoint.weights_bytes


@pytest.mark.parametrize("task", ["feature-extraction", "question-answering", "masked-lm"])
def test_a_named_shape_needs_no_checkpoint_on_disk(task):
    from honed.models.obtain import materialise
    from honed.models.torch.module import load_module

    real = load_module(materialise(ModelRequest("tiny-bert", task=task)))
    assert sizes(meta(PRESETS["tiny-bert"], task)) == sizes(real)


def test_the_default_task_of_a_shape_is_built():
    assert type(meta(PRESETS["lm-small"])).__name__ == "LlamaForCausalLM"


def test_the_asked_attention_is_set():
    assert meta(PRESETS["tiny-bert"], attention="eager").config._attn_implementation == "eager"
    with pytest.raises(UnsupportedError, match="no sdpa attention"):
        meta(PRESETS["deberta-v3-small"], attention="sdpa")


def test_a_forward_pass_gives_shapes():
    import torch

    ids = torch.zeros((2, 7), dtype=torch.int64, device="meta")
    hidden = meta(PRESETS["bert-base-uncased"])(input_ids=ids).last_hidden_state
    assert hidden.is_meta
    assert hidden.shape == (2, 7, 768)


def test_gigabytes_of_weights_take_no_memory():
    """Linux keeps the highest resident size since it was last reset, so no peak goes unseen."""
    meta(PRESETS["lm-small"])  # imports what a llama needs
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mib()
    module = meta(PRESETS["lm-2.7b"])
    assert sum(p.nbytes for p in module.parameters()) > 13e9
    assert peak_mib() - before < 50


def peak_mib():
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def test_a_model_without_a_torch_module_is_refused():
    with pytest.raises(ModelError, match="tiny could not be loaded"):
        meta(PRESETS["tiny"])
