"""Checkpoints that must not be loaded, or not as they are."""

from __future__ import annotations

import json
import shutil

import pytest

from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate

pytestmark = pytest.mark.engine


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def load(checkpoint, **options):
    from honed.models.torch.module import load_module

    return load_module(checkpoint, **options)


def edit(folder, copy, **config):
    """A copy with another configuration."""
    shutil.copytree(folder, copy)
    path = copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return copy


class TestRefusals:
    def test_a_pickle_that_runs_code_is_not_run(self, trained, tmp_path):
        import torch

        folder = edit(trained(), tmp_path / "evil")
        (folder / "model.safetensors").unlink()
        mark = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (open, (str(mark), "w"))

        torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
        with pytest.raises(ModelError, match="run code"):
            load(at(folder))
        assert not mark.exists()

    def test_missing_tensors_are_named(self, trained, tmp_path):
        folder = edit(trained(), tmp_path / "deeper", num_hidden_layers=3)
        with pytest.raises(ModelError, match=r"lack 16 tensors: encoder\.layer\.2"):
            load(at(folder))

    @pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM"])
    def test_layers_left_out_are_named(self, trained, tmp_path, architecture):
        folder = edit(trained(architecture), tmp_path / "shallower", num_hidden_layers=1)
        with pytest.raises(ModelError, match="16 tensors") as raised:
            load(at(folder))
        assert "encoder.layer.1" in raised.value.message

    def test_sizes_that_do_not_match(self, trained, tmp_path):
        folder = edit(trained(), tmp_path / "wider", hidden_size=64)
        with pytest.raises(ModelError, match="could not be loaded"):
            load(at(folder))

    def test_a_head_that_is_not_in_the_file(self, trained, tmp_path):
        folder = edit(trained(), tmp_path / "claims", architectures=["BertForTokenClassification"])
        with pytest.raises(ModelError, match=r"lack 2 tensors: classifier\.bias"):
            load(at(folder))

    def test_the_hint_names_code_that_was_not_trusted(self, trained, tmp_path):
        folder = edit(
            trained(), tmp_path / "code", num_hidden_layers=3, auto_map={"AutoModel": "m.M"}
        )
        with pytest.raises(ModelError) as raised:
            load(at(folder))
        assert "trust_remote_code=true" in raised.value.hint

    def test_a_model_type_that_nobody_knows(self, trained, tmp_path):
        folder = edit(trained(), tmp_path / "odd", model_type="odd-net")
        with pytest.raises(ModelError, match="could not be loaded"):
            load(at(folder))


CODE = """
import torch
from transformers import BertConfig, BertModel

class OddConfig(BertConfig):
    model_type = "odd-net"

class OddModel(BertModel):
    config_class = OddConfig
"""


def test_code_of_its_own_runs_only_when_trusted(trained, tmp_path):
    """transformers copies the code into a cache of modules and imports it from there."""
    folder = edit(
        trained(),
        tmp_path / "odd",
        model_type="odd-net",
        auto_map={"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"},
    )
    (folder / "odd.py").write_text(CODE)
    with pytest.raises(ModelError, match=r"odd\.py"):
        at(folder)
    checkpoint = at(folder, trust_remote_code=True)
    assert type(load(checkpoint)).__name__ == "OddModel"
    from honed.models.torch.meta import meta_module

    assert type(meta_module(checkpoint)).__name__ == "OddModel"
