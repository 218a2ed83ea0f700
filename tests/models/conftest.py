"""Checkpoint folders: hand-made ones for checks, and real ones that transformers writes."""

from __future__ import annotations

import json
from functools import cache

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
    folders = {}

    def make(architecture="BertModel", *, shard="5GB", as_bin=False):
        import torch

        key = architecture, shard, as_bin
        if key not in folders:
            folders[key] = folder = root / str(len(folders))
            module = trained_module(architecture)
            module.save_pretrained(folder, max_shard_size=shard)
            if as_bin:
                (folder / "model.safetensors").unlink()
                torch.save(module.state_dict(), folder / "pytorch_model.bin")
        return folders[key]

    return make


@cache
def trained_module(architecture):
    """The same weights in every layout. Nothing changes the module."""
    import torch
    import transformers

    cls = getattr(transformers, architecture)
    torch.manual_seed(3)
    module = cls(cls.config_class(**SMALL_BERT)).eval()
    for parameter in module.parameters():  # new ones are 0 or 1 in places, which hides mix-ups
        torch.nn.init.normal_(parameter, std=0.1)
    return module


@pytest.fixture
def vocabulary():
    """A function that puts a small word-piece tokenizer into a folder."""

    def put(folder):
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return put
