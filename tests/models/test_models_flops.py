"""The closed forms against torch's own operator counter, on small models of every family."""

from __future__ import annotations

import pytest

from honed.models import flops
from honed.models.families import all_families
from honed.models.presets import PRESETS, preset

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "vocab_size": 96,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
# Where the common words for sizes are not enough. A family that is not named here gets SMALL.
CONFIGS = {
    "distilbert": {
        "dim": 48,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 80,
        "vocab_size": 96,
        "max_position_embeddings": 64,
    },
    "electra": {**SMALL, "embedding_size": 16},
    "deberta-v2": {
        **SMALL,
        "relative_attention": True,
        "position_buckets": 8,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
    },
    "modernbert": {**SMALL, "local_attention": 8},
    "llama": {**SMALL, "num_key_value_heads": 2},
}
ENCODER_TASKS = (
    "feature-extraction",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "masked-lm",
)
DECODER_TASKS = (*ENCODER_TASKS[:4], "causal-lm")


def tasks_of(family, model_type):
    """Two tasks are enough for types that share the formula of a type with named shapes."""
    default_tasks = [p.default_task for p in family.presets if p.model_type == model_type]
    if not default_tasks:
        return ("sequence-classification", "masked-lm")
    return DECODER_TASKS if "causal-lm" in default_tasks else ENCODER_TASKS


# Every model type of every family with a formula: a new family's file is checked by being there.
CELLS = [
    (model_type, task)
    for family in all_families().values()
    if family.flops
    for model_type in family.model_types
    for task in tasks_of(family, model_type)
]


def counted(model_type, config, task, batch_size, sequence_length):
    """What torch multiplies, eager attention. Skips a task that transformers has no class for."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from honed.models.torch.module import auto_class, frameworks

    with frameworks() as (_, transformers):
        made = transformers.AutoConfig.for_model(model_type, **config)
        try:
            model = auto_class(transformers, task).from_config(made, attn_implementation="eager")
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            pytest.skip(f"transformers has no {task} for {model_type}")
    ids = torch.randint(5, 90, (batch_size, sequence_length))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    return counter.get_total_flops(), made.to_dict()


@pytest.mark.engine
@pytest.mark.parametrize(("model_type", "task"), CELLS)
def test_the_closed_form_is_what_torch_counts(model_type, task):
    config = dict(CONFIGS.get(model_type, SMALL))
    if task != "feature-extraction":  # the layers are counted there; here the head matters
        config["n_layers" if "n_layers" in config else "num_hidden_layers"] = 1
    measured, config = counted(model_type, config, task, 3, 12)
    assert flops.forward_flops(config, 3, 12, task) == measured


@pytest.mark.engine
@pytest.mark.parametrize(
    "change",
    [
        {"share_att_key": False},
        {"pos_att_type": ["c2p"]},
        {"share_att_key": False, "pos_att_type": ["p2c"]},
        {"position_buckets": -1, "max_relative_positions": 20},
        {"relative_attention": False},
        {"conv_kernel_size": 3, "conv_act": "gelu"},
    ],
)
def test_debertas_options(change):
    measured, config = counted(
        "deberta-v2", {**CONFIGS["deberta-v2"], **change}, "feature-extraction", 2, 10
    )
    assert flops.forward_flops(config, 2, 10, "feature-extraction") == measured


@pytest.mark.engine
@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_the_number_of_labels_counts(task):
    measured, config = counted("xlm-roberta", {**SMALL, "num_labels": 5}, task, 2, 10)
    assert flops.forward_flops(config, 2, 10, task) == measured


def test_a_type_without_a_formula_gives_none():
    assert flops.forward_flops({"model_type": "mamba"}, 1, 8, "causal-lm") is None
    assert flops.forward_flops({}, 1, 8, "causal-lm") is None


def test_a_configuration_without_sizes_gives_none():
    assert flops.forward_flops({"model_type": "bert"}, 1, 8, "feature-extraction") is None


def test_bert_base_at_128_tokens():
    """12 layers of 4 h^2 + 2 h 4h projections and 2 s h attention per token, by hand."""
    h, s = 768, 128
    by_hand = 12 * 2 * s * (12 * h * h + 2 * s * h) + 2 * h * h
    config = {"model_type": "bert", **PRESETS["bert-base-uncased"].config}
    assert flops.forward_flops(config, 1, s, "feature-extraction") == by_hand


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "tiny"])
def test_every_shape_has_a_formula(name):
    shape = preset(name)
    config = {"model_type": shape.model_type, **shape.config}
    one = flops.forward_flops(config, 1, 64, shape.default_task)
    assert one > 0
    assert flops.forward_flops(config, 1, 128, shape.default_task) > one * 1.4
