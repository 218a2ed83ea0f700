"""Named shapes: exact parameter counts, and names that lead to them."""

from __future__ import annotations

import pytest

from honed.case import POOLINGS, TASKS
from honed.models.presets import ALIASES, PRESETS, preset

# Of the model without a task's head; poolers included where the published model has one.
PARAMETERS = {
    "bert-base-uncased": 109_482_240,
    "bert-large-uncased": 335_141_888,
    "bert-base-multilingual-1024": 426_303_488,
    "distilbert-base-uncased": 66_362_880,
    "roberta-base": 124_645_632,
    "xlm-roberta-base": 278_043_648,
    "minilm-l6": 22_713_216,
    "electra-small": 13_483_008,
    "deberta-v3-small": 141_304_320,
    "modernbert-base": 149_014_272,
}
DECODERS = {
    "lm-small": 128.6e6,
    "lm-medium": 423e6,
    "lm-large": 969e6,
    "lm-xl": 1998e6,
    "lm-2.7b": 3407e6,
}


def parameters(name, task):
    from honed.models.torch.meta import meta_module

    return sum(p.numel() for p in meta_module(PRESETS[name], task).parameters())


@pytest.mark.engine
@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_encoders_have_the_published_size(name, expected):
    assert parameters(name, "feature-extraction") == expected


@pytest.mark.engine
@pytest.mark.parametrize(("name", "expected"), DECODERS.items())
def test_decoders_have_the_published_size(name, expected):
    assert parameters(name, "causal-lm") == pytest.approx(expected, rel=6e-4)


@pytest.mark.engine
def test_modernbert_alternates_global_and_local_attention():
    from transformers import AutoConfig, ModernBertConfig

    config = AutoConfig.for_model("modernbert", **PRESETS["modernbert-base"].config)
    published = ModernBertConfig()
    assert config.layer_types == published.layer_types
    assert config.rope_parameters == published.rope_parameters


def test_aliases_lead_to_shapes_and_hide_none():
    assert set(ALIASES.values()) <= set(PRESETS)
    assert not set(ALIASES) & set(PRESETS)
    assert preset("bert-base") is PRESETS["bert-base-uncased"]
    assert preset("MiniLM-L6") is PRESETS["minilm-l6"]
    assert preset("bert-bas") is None


@pytest.mark.parametrize("name", PRESETS)
def test_every_shape_is_named_as_it_is_found(name):
    shape = PRESETS[name]
    assert shape.name == name == name.lower()
    assert shape.default_task in TASKS
    assert shape.pooling in POOLINGS
    assert shape.help
