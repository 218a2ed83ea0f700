"""Named shapes: exact parameter counts, and names that lead to them."""

from __future__ import annotations

import pytest

from honed.case import POOLINGS, TASKS, Case
from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.knobs import shape
from honed.models.obtain import locate, materialise
from honed.models.presets import ALIASES, PRESETS, preset, resized

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
    # By the closed form; a course on language models prints 128.6M, 423M, 969M, 1998M and 3407M.
    "lm-small": 128_625_408,
    "lm-medium": 423_183_360,
    "lm-large": 969_411_840,
    "lm-xl": 1_998_235_200,
    "lm-2.7b": 3_406_809_600,
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
    assert parameters(name, "causal-lm") == expected


def request(model: str, **sizes: int) -> ModelRequest:
    knobs = {f"model.{word}": value for word, value in sizes.items()}
    return ModelRequest.from_case(Case(model=model, knobs=knobs))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["lm-small", "tiny-bert", "distilbert-base-uncased"])
def test_sizes_replace_those_of_a_named_shape(name):
    sizes = {"d_model": 48, "d_ff": 80, "num_layers": 3, "num_heads": 4, "vocab_size": 200,
             "context_length": 40}  # fmt: skip
    made = materialise(request(name, **sizes))
    asked = {f"model.{word}": value for word, value in sizes.items()}
    assert shape.read_back(made.config, asked) == asked
    assert made.max_positions == 40
    assert made.key != materialise(request(name, **{**sizes, "d_ff": 96})).key
    if name == "lm-small":
        assert made.config["num_key_value_heads"] == 4
        assert made.weights_bytes == 4 * (3 * (4 * 48**2 + 3 * 48 * 80 + 96) + 48 + 2 * 200 * 48)


def test_a_pooler_is_as_wide_as_the_model():
    made = resized(PRESETS["deberta-v3-small"], [("d_model", 48)])
    assert made.config["pooler_hidden_size"] == 48


@pytest.mark.engine
def test_special_tokens_lie_inside_a_smaller_vocabulary():
    made = materialise(request("modernbert-base", d_model=32, num_heads=2, num_layers=1,
                               d_ff=32, vocab_size=100))  # fmt: skip
    ids = {key: value for key, value in made.config.items() if key.endswith("_token_id")}
    assert ids["pad_token_id"] == 83
    assert all(value is None or value < 100 for value in ids.values())
    assert random_inputs(made, 2, 8, seed=1).batches[0]["input_ids"].max() < 100


def test_sizes_that_cannot_be_are_refused_with_what_can():
    with pytest.raises(ModelError, match="5 heads cannot share a width of 768") as refused:
        locate(request("lm-small", num_heads=5))
    assert refused.value.hint == "model.num_heads=4"
    for name in ("lm-small", "modernbert-base"):
        with pytest.raises(ModelError, match="2 heads of a width of 30 are 15 wide each") as odd:
            locate(request(name, d_model=30, num_heads=2))
        assert odd.value.hint == "model.d_model=32"
    with pytest.raises(ModelError, match="tiny has no d_model"):
        locate(request("tiny", d_model=8))


def test_the_sizes_of_a_checkpoint_are_fixed(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="whose sizes are fixed") as refused:
        locate(request(str(tmp_path), d_model=8))
    assert "model=lm-small" in refused.value.hint


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
