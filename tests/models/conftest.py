"""Checkpoint folders: hand-made ones for checks, and real ones that transformers writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from honed.models.tiny import write_safetensors

SMALL_BERT = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *"abcde", "the", "cat", "sat", "on", "mat", "dog"]


@pytest.fixture
def hand_made(tmp_path):
    """A function: configuration in, folder with that and two small tensors out."""

    def make(name="hand-made", **config):
        folder = tmp_path / name
        folder.mkdir()
        default = {"model_type": "bert", "architectures": ["BertModel"], **SMALL_BERT}
        (folder / "config.json").write_text(json.dumps({**default, **config}))
        tensors = {"a": np.ones((3, 4), np.float32), "b": np.zeros(5, np.float32)}
        write_safetensors(folder / "model.safetensors", tensors)
        return folder

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A function: transformers class and options in, folder out. Made once per session."""
    root = tmp_path_factory.mktemp("trained")
    made = {}

    def make(architecture="BertModel", **options):
        key = json.dumps([architecture, options], sort_keys=True)
        if key not in made:
            made[key] = root / str(len(made))
            write_trained(made[key], architecture, **options)
        return made[key]

    return make


def write_trained(folder, architecture, *, shard=None, as_bin=False, **config):
    import torch
    import transformers

    cls = getattr(transformers, architecture)
    torch.manual_seed(3)
    module = cls(cls.config_class(**{**SMALL_BERT, **config}))
    for parameter in module.parameters():  # fresh ones are 0 and 1 in places: hide no mix-up
        torch.nn.init.normal_(parameter, std=0.1)
    module.save_pretrained(folder, max_shard_size=shard or "5GB")
    if as_bin:
        path = folder / "model.safetensors"
        torch.save(module.state_dict(), folder / "pytorch_model.bin")
        path.unlink()


@pytest.fixture
def vocabulary():
    """A function that puts a small word-piece tokenizer into a folder."""

    def put(folder):
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return put
