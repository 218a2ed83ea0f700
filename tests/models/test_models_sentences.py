"""Folders that sentence-transformers saved: what their files say, without any framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_folders import change_json

from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.models.tiny import write_safetensors

LAYOUT = (("", "Transformer"), ("1_Pooling", "Pooling"))
TANH = "torch.nn.modules.activation.Tanh"


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def refused(folder, **request):
    with pytest.raises(ModelError) as raised:
        at(folder, **request)
    return raised.value


def put(root, modules=LAYOUT, library="sentence_transformers.models.", **pooling):
    root.mkdir(exist_ok=True)
    listed = [{"path": path, "type": f"{library}{kind}"} for path, kind in modules]
    (root / "modules.json").write_text(json.dumps(listed))
    (root / "1_Pooling").mkdir()
    change_json(root / "1_Pooling/config.json", **{"pooling_mode": "cls", **pooling})
    return root


def put_dense(folder: Path, inputs: int = 32, outputs: int = 8, **settings: Any) -> None:
    folder.mkdir()
    tensors = {
        "linear.weight": np.ones((outputs, inputs), np.float32),
        "linear.bias": np.zeros(outputs, np.float32),
    }
    write_safetensors(folder / "model.safetensors", tensors)
    sizes = {"in_features": inputs, "out_features": outputs, "bias": True}
    change_json(folder / "config.json", **{**sizes, "activation_function": TANH, **settings})


class TestLayout:
    def test_the_old_layout_has_its_transformer_one_folder_below(self, hand_made, tmp_path):
        root = put(tmp_path / "root", (("0_Transformer", "Transformer"), LAYOUT[1]))
        hand_made("root/0_Transformer")
        settings = {"max_seq_length": 48, "do_lower_case": True}
        change_json(root / "0_Transformer/sentence_bert_config.json", **settings)
        found = at(root)
        assert (found.folder, found.pooling) == (root / "0_Transformer", "cls")
        assert (found.reading.longest, found.reading.lower_case) == (48, True)

    def test_the_folder_that_modules_json_names_wins_over_the_root(self, hand_made):
        root = put(hand_made(), (("0_Transformer", "Transformer"), LAYOUT[1]))
        hand_made("hand-made/0_Transformer")
        assert at(root).folder == root / "0_Transformer"

    @pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForSequenceClassification"])
    def test_an_old_head_is_not_what_the_library_runs(self, hand_made, architecture):
        folder = put(hand_made(architectures=[architecture]))
        assert at(folder).task == "feature-extraction"
        (folder / "modules.json").unlink()
        assert at(folder).task != "feature-extraction"

    def test_what_does_not_begin_with_a_transformer_is_named(self, hand_made, tmp_path):
        """And nobody is sent to an inner folder, where the pooling would be another one."""
        root = put(tmp_path / "root", (("0_BERT", "BERT"), LAYOUT[1]))
        hand_made("root/0_BERT")
        raised = refused(root)
        assert "begins with sentence_transformers.models.BERT" in raised.message
        assert "0_BERT" not in raised.hint
        other = put(tmp_path / "other", (("0_Transformer", "Transformer"), LAYOUT[1]))
        raised = refused(other)
        assert f"{other}/0_Transformer, which has no config.json" in raised.message

    def test_a_file_that_is_no_list_is_named(self, hand_made):
        folder = put(hand_made())
        (folder / "modules.json").write_text("{}")
        assert "is not a list of modules" in refused(folder).message


class TestModules:
    @pytest.mark.parametrize(
        "kind", ["LayerNorm", "Router", "CNN", "LSTM", "WordWeights", "WeightedLayerPooling"]
    )
    def test_modules_that_honed_does_not_compute_are_refused(self, hand_made, kind):
        folder = put(hand_made(), (*LAYOUT, ("2", kind)))
        for asked in ("auto", "mean"):  # another pooling does not leave the module out silently
            raised = refused(folder, pooling=asked)
            assert f"a module sentence_transformers.models.{kind}" in raised.message
            assert "pooling=none" in raised.hint
        assert at(folder, pooling="none").layers == ()

    def test_so_are_modules_of_other_packages(self, hand_made):
        assert "custom.Transformer" in refused(put(hand_made(), library="custom.")).message

    @pytest.mark.parametrize(
        "kinds", [["Transformer"], ["Transformer", "Dense", "Pooling"], ["Pooling", "Transformer"]]
    )
    def test_so_is_another_order(self, hand_made, kinds):
        folder = put(hand_made(), [("1_Pooling" * (k == "Pooling"), k) for k in kinds])
        raised = refused(folder, task="feature-extraction")
        assert ", ".join(kinds) in raised.message

    def test_layers_behind_the_pooling_are_found(self, hand_made):
        folder = put(
            hand_made(), (*LAYOUT, ("2_Dense", "Dense"), ("3", "Dropout"), ("4", "Normalize"))
        )
        put_dense(folder / "2_Dense")
        dense, normalize = at(folder).layers
        assert (dense.kind, dense.inputs, dense.outputs, dense.bias) == ("dense", 32, 8, True)
        assert (dense.activation, dense.folder) == ("Tanh", folder / "2_Dense")
        assert normalize.kind == "normalize"

    def test_another_pooling_keeps_the_layers(self, hand_made):
        folder = put(hand_made(), (*LAYOUT, ("2_Normalize", "Normalize")))
        found = at(folder, pooling="max")
        assert (found.pooling, [layer.kind for layer in found.layers]) == ("max", ["normalize"])

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"activation_function": "torch.nn.modules.activation.Hardtanh"}, "Hardtanh"),
            ({"activation_function": "mine.Tanh"}, "applies mine.Tanh"),
            ({"module_input_name": "token_embeddings"}, "module_input_name=token_embeddings"),
            ({"in_features": None}, "in_features"),
        ],
    )
    def test_options_of_a_dense_layer_are_refused_by_name(self, hand_made, settings, complaint):
        folder = put(hand_made(), (*LAYOUT, ("2_Dense", "Dense")))
        put_dense(folder / "2_Dense", **settings)
        raised = refused(folder)
        assert complaint in raised.message
        assert raised.hint

    def test_so_is_normalising_tokens(self, hand_made):
        folder = put(hand_made(), (*LAYOUT, ("2", "Normalize")))
        (folder / "2").mkdir()
        change_json(folder / "2/config.json", module_input_name="token_embeddings")
        assert "module_input_name" in refused(folder).message

    def test_a_layer_without_weights_is_named(self, hand_made):
        folder = put(hand_made(), (*LAYOUT, ("2_Dense", "Dense")))
        put_dense(folder / "2_Dense")
        (folder / "2_Dense/model.safetensors").unlink()
        assert "2_Dense has no weights" in refused(folder).message

    def test_lengths_of_vectors_must_fit(self, hand_made):
        modules = (*LAYOUT, ("2_Dense", "Dense"), ("3_Dense", "Dense"))
        folder = put(hand_made(), modules, pooling_mode=["cls", "max"], embedding_dimension=32)
        put_dense(folder / "2_Dense", inputs=64)
        put_dense(folder / "3_Dense", inputs=8)
        assert len(at(folder).layers) == 2
        raised = refused(folder, pooling="mean")
        assert "takes vectors of 64 numbers and gets 32" in raised.message
        assert "leave pooling out" in raised.hint

    def test_the_weights_and_settings_of_a_layer_decide_the_models_key(self, hand_made):
        folder = put(hand_made(), (*LAYOUT, ("2_Dense", "Dense")))
        put_dense(folder / "2_Dense")
        keys = {at(folder, pooling="none").key, at(folder).key}
        change_json(folder / "2_Dense/config.json", activation_function="torch.nn.ReLU")
        keys.add(at(folder).key)
        tensors = {
            "linear.weight": np.zeros((8, 32), np.float32),
            "linear.bias": np.ones(8, np.float32),
        }
        write_safetensors(folder / "2_Dense/model.safetensors", tensors)
        keys.add(at(folder).key)
        assert len(keys) == 4


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "named"),
        [
            ({"transformer_task": "fill-mask"}, "transformer_task=fill-mask"),
            ({"module_output_name": "scores"}, "module_output_name=scores"),
            (
                {"modality_config": {"text": {"method_output_name": "pooler_output"}}},
                "modality_config.text.method_output_name=pooler_output",
            ),
            ({"model_args": {"rope_scaling": {}}}, "rope_scaling in model_args"),
            ({"processing_kwargs": {"text": {}}}, "text in processing_kwargs"),
        ],
    )
    def test_those_that_honed_does_not_compute_are_refused(self, hand_made, option, named):
        folder = put(hand_made())
        change_json(folder / "sentence_bert_config.json", **option)
        assert f"sets {named}" in refused(folder).message
        assert at(folder, pooling="none").pooling == "none"

    def test_those_that_change_no_output_are_not(self, hand_made):
        folder = put(hand_made())
        change_json(
            folder / "sentence_bert_config.json",
            model_args={"add_pooling_layer": False, "trust_remote_code": True},
            modality_config={"text": {"method": "forward"}},
        )
        assert at(folder).pooling == "cls"

    def test_the_longest_text_is_the_tokenizers_where_nothing_else_is_said(self, hand_made):
        folder = put(hand_made())
        change_json(folder / "tokenizer_config.json", model_max_length=int(1e30))
        assert at(folder).reading.longest is None
        change_json(folder / "tokenizer_config.json", model_max_length=40)
        assert at(folder).reading.longest == 40
        change_json(folder / "sentence_bert_config.json", max_seq_length=30)
        assert at(folder).reading.longest == 30
        change_json(folder / "sentence_bert_config.json", tokenizer_args={"model_max_length": 20})
        assert at(folder).reading.longest == 20
        (folder / "sentence_bert_config.json").unlink()
        (folder / "modules.json").unlink()
        assert at(folder).reading.longest is None  # a plain checkpoint is cut by the Case

    def test_prompts(self, hand_made):
        folder = put(hand_made())
        path = folder / "config_sentence_transformers.json"
        change_json(path, prompts={"q": "query: "})
        assert at(folder).reading.prompt == ""
        before = at(folder).text_key
        change_json(path, default_prompt_name="q")
        assert at(folder).reading.prompt == "query: "
        assert at(folder).text_key != before
        assert at(folder).pools_prompt
        change_json(folder / "1_Pooling/config.json", include_prompt=False)
        assert not at(folder).pools_prompt
        change_json(path, default_prompt_name="document")  # every model has an empty one
        assert at(folder).reading.prompt == ""
        change_json(path, default_prompt_name="other")
        assert "no prompt 'other'" in refused(folder).message
