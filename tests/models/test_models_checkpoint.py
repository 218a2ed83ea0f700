"""What a checkpoint folder says about itself, and everything that can be wrong with it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile

import pytest

from honed import artifacts
from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def refused(folder, **request):
    with pytest.raises(ModelError) as raised:
        at(folder, **request)
    assert raised.value.hint
    return raised.value


def edit(folder, **config):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


class TestFaults:
    def test_config_missing(self, hand_made):
        folder = hand_made()
        (folder / "config.json").unlink()
        assert "no config.json" in refused(folder).message

    @pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00\x01"])
    def test_config_not_json(self, hand_made, text):
        folder = hand_made()
        (folder / "config.json").write_text(text)
        assert "config.json is not valid JSON" in refused(folder).message

    @pytest.mark.parametrize("text", ["[]", "{}", '{"vocab_size": "many"}'])
    def test_config_not_of_a_text_model(self, hand_made, text):
        folder = hand_made()
        (folder / "config.json").write_text(text)
        assert "vocab_size" in refused(folder).message

    def test_config_is_an_lfs_pointer(self, hand_made):
        folder = hand_made()
        (folder / "config.json").write_text(LFS)
        assert "lfs pull" in refused(folder).hint

    def test_no_weights(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").unlink()
        assert "has no weights" in refused(folder).message

    def test_weights_are_an_lfs_pointer(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").write_text(LFS)
        error = refused(folder)
        assert "model.safetensors is a Git LFS pointer" in error.message
        assert "lfs pull" in error.hint

    @pytest.mark.parametrize("keep", [0, 4, 8, 20, -1, -40])
    def test_safetensors_cut_short(self, hand_made, keep):
        path = hand_made() / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        assert "model.safetensors is cut short" in refused(path.parent).message

    def test_safetensors_too_long(self, hand_made):
        path = hand_made() / "model.safetensors"
        path.write_bytes(path.read_bytes() + b"more")
        assert "longer than its header says" in refused(path.parent).message

    @pytest.mark.parametrize("header", [b"no json here", b"[1, 2, 3]", b'{"a": {"dtype": "F32"}}'])
    def test_safetensors_header_broken(self, hand_made, header):
        path = hand_made() / "model.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert "broken safetensors header" in refused(path.parent).message

    def test_a_text_file_called_bin(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_text("<html>404</html>")
        assert "neither a zip archive nor a pickle" in refused(folder).message

    def test_a_bin_cut_short(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").unlink()
        path = folder / "pytorch_model.bin"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data/0", b"0123")
        path.write_bytes(path.read_bytes()[:-10])
        assert "cut short" in refused(folder).message

    def test_a_bare_pickle_passes(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}, protocol=2))
        assert at(folder).weights_bytes == (folder / "pytorch_model.bin").stat().st_size

    def sharded(self, folder, **weight_map):
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        index = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", **weight_map}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder

    def test_shards_are_counted_together(self, hand_made):
        folder = self.sharded(hand_made(), b="model-2.safetensors")
        shutil.copy(folder / "model-1.safetensors", folder / "model-2.safetensors")
        assert at(folder).weights_bytes == 2 * 4 * 17

    def test_a_missing_shard_is_named(self, hand_made):
        error = refused(self.sharded(hand_made(), b="model-2.safetensors"))
        assert "model.safetensors.index.json" in error.message
        assert "model-2.safetensors" in error.message

    def test_a_shard_outside_the_folder_is_refused(self, hand_made):
        error = refused(self.sharded(hand_made(), b="../../etc/passwd"))
        assert "outside its folder" in error.message

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}'])
    def test_a_broken_index(self, hand_made, text):
        folder = self.sharded(hand_made())
        (folder / "model.safetensors.index.json").write_text(text)
        assert "model.safetensors.index.json" in refused(folder).message


CODE = {
    "AutoConfig": "configuration_x.XConfig",
    "AutoModel": "other/place--modeling_x.XModel",
    "AutoTokenizer": ["tokenization_x.XTokenizer", None],
}


class TestRemoteCode:
    def test_a_foreign_type_names_the_files_that_would_run(self, hand_made):
        error = refused(hand_made(model_type="x-net", auto_map=CODE))
        for name in ("configuration_x.py", "modeling_x.py of other/place", "tokenization_x.py"):
            assert name in error.message
        assert "trust_remote_code=true" in error.hint

    def test_trust_lets_it_run(self, hand_made):
        folder = hand_made(model_type="x-net", auto_map=CODE)
        assert at(folder, trust_remote_code=True).own_code

    def test_a_native_type_runs_on_native_code(self, hand_made):
        assert not at(hand_made(auto_map=CODE)).own_code

    def test_no_code_needs_no_trust(self, hand_made):
        assert not at(hand_made(), trust_remote_code=True).own_code


class TestTasks:
    @pytest.mark.parametrize(
        ("architecture", "task"),
        [
            ("BertModel", "feature-extraction"),
            ("BertForPreTraining", "feature-extraction"),
            ("RobertaForSequenceClassification", "sequence-classification"),
            ("ElectraForTokenClassification", "token-classification"),
            ("DistilBertForQuestionAnswering", "question-answering"),
            ("BertForMaskedLM", "masked-lm"),
            ("LlamaForCausalLM", "causal-lm"),
            ("GPT2LMHeadModel", "causal-lm"),
        ],
    )
    def test_auto_follows_the_architecture(self, hand_made, architecture, task):
        found = at(hand_made(architectures=[architecture]))
        assert found.task == task
        assert found.pooling == ("mean" if task == "feature-extraction" else "none")

    def test_no_architecture_means_features(self, hand_made):
        assert at(hand_made(architectures=None)).task == "feature-extraction"

    def test_an_unknown_architecture_is_refused(self, hand_made):
        error = refused(hand_made(architectures=["T5ForConditionalGeneration"]))
        assert "T5ForConditionalGeneration" in error.message

    def test_any_head_can_give_features(self, hand_made):
        folder = hand_made(architectures=["BertForMaskedLM"])
        assert at(folder, task="feature-extraction").task == "feature-extraction"

    @pytest.mark.parametrize(
        ("architecture", "task"),
        [
            ("BertModel", "sequence-classification"),
            ("BertForMaskedLM", "token-classification"),
            ("BertForSequenceClassification", "masked-lm"),
            ("BertForMaskedLM", "causal-lm"),
        ],
    )
    def test_a_head_without_trained_weights_is_refused(self, hand_made, architecture, task):
        error = refused(hand_made(architectures=[architecture]), task=task)
        assert "random weights" in error.message

    def test_pretraining_heads_fill_masks_but_discriminators_do_not(self, hand_made):
        bert = hand_made("a", architectures=["BertForPreTraining"])
        assert at(bert, task="masked-lm").task == "masked-lm"
        electra = hand_made("b", model_type="electra", architectures=["ElectraForPreTraining"])
        refused(electra, task="masked-lm")

    def test_shapes_do_every_task_that_their_kind_can(self):
        for task in ("sequence-classification", "masked-lm", "question-answering"):
            assert at("tiny-bert", seed=991, task=task) is None
        assert "encoder" in refused("bert-base", task="causal-lm").message
        assert "decoder" in refused("lm-small", task="masked-lm").message


class TestPooling:
    def put(self, folder, settings, modules=True):
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
        if modules:
            listed = [
                {"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]
            (folder / "modules.json").write_text(json.dumps(listed))
        return folder

    @pytest.mark.parametrize(
        ("settings", "pooling"),
        [
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
            ({"pooling_mode": "cls"}, "cls"),
            ({"pooling_mode": ["mean"]}, "mean"),
            ({"pooling_mode": "lasttoken"}, "lasttoken"),
            ({"pooling_mode_max_tokens": True}, "max"),
            ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "max+mean"),
            ({"pooling_mode": ["weightedmean", "cls"]}, "weightedmean+cls"),
            ({"pooling_mode_cls_token": False}, "mean"),
            ({}, "mean"),
        ],
    )
    @pytest.mark.parametrize("modules", [True, False])
    def test_auto_follows_the_checkpoint(self, hand_made, settings, pooling, modules):
        assert at(self.put(hand_made(), settings, modules)).pooling == pooling

    def test_what_is_asked_wins(self, hand_made):
        folder = self.put(hand_made(), {"pooling_mode": "cls"})
        assert at(folder, pooling="none").pooling == "none"

    def test_a_pooling_that_the_library_does_not_have_is_refused(self, hand_made):
        error = refused(self.put(hand_made(), {"pooling_mode": "attention"}))
        assert "pooling by attention" in error.message
        assert "pooling=mean" in error.hint

    def test_an_embedding_model_with_its_old_language_head(self, hand_made):
        folder = self.put(hand_made(architectures=["BertForMaskedLM"]), {"pooling_mode": "mean"})
        assert at(folder).task == "feature-extraction"
        assert at(folder, task="masked-lm").task == "masked-lm"

    def test_pooling_is_for_features_only(self, hand_made):
        folder = hand_made(architectures=["BertForSequenceClassification"])
        assert at(folder, pooling="none").pooling == "none"
        assert "does not apply" in refused(folder, pooling="mean").message


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 514}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "gpt2", "max_position_embeddings": None, "n_positions": 1024}, None),
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "t5", "max_position_embeddings": -1}, None),
        ({"model_type": "t5", "n_positions": 512, "max_position_embeddings": 64}, None),
        ({"model_type": "deberta-v2", "position_biased_input": False}, None),
        ({"model_type": "deberta-v2", "position_biased_input": True}, 64),
        ({"model_type": "deberta", "position_biased_input": False}, None),
        ({"model_type": "deberta"}, 64),
        ({"model_type": "xlnet"}, None),
        ({"model_type": "esm", "pad_token_id": 1, "max_position_embeddings": 66}, 64),
        ({"model_type": "esm", "position_embedding_type": "rotary"}, None),
        ({"model_type": "luke", "pad_token_id": 1, "max_position_embeddings": 66}, 64),
        ({"model_type": "lilt", "pad_token_id": 1, "max_position_embeddings": 66}, 64),
        ({"model_type": "markuplm", "pad_token_id": 0, "max_position_embeddings": 66}, 65),
    ],
)
def test_how_far_positions_reach(hand_made, config, limit):
    assert at(hand_made(**config)).max_positions == limit


def test_an_encoder_decoder_is_refused_by_its_name_and_its_encoder_is_not(hand_made):
    whole = hand_made("whole", architectures=["T5Model"], is_encoder_decoder=True)
    raised = refused(whole)
    assert "is a T5Model, an encoder-decoder" in raised.message
    assert "T5EncoderModel" in raised.hint
    half = hand_made("half", architectures=["T5EncoderModel"], is_encoder_decoder=True)
    assert at(half).task == "feature-extraction"


class TestKey:
    def test_the_same_content_elsewhere_has_the_same_key(self, hand_made, tmp_path):
        folder = hand_made()
        shutil.copytree(folder, tmp_path / "copy")
        assert at(folder).key == at(tmp_path / "copy").key

    def test_every_part_counts(self, hand_made):
        folder = hand_made()
        keys = [at(folder).key]
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        keys.append(at(folder).key)
        edit(folder, hidden_act="relu")
        keys.append(at(folder).key)
        (folder / "modeling_x.py").write_text("pass")
        keys.append(at(folder).key)
        assert len(set(keys)) == len(keys)

    def test_a_file_replaced_under_the_same_size_and_time_counts(self, hand_made):
        """Archives and container images may give all files one modification time."""
        folder = hand_made()
        path = folder / "model.safetensors"
        os.utime(path, (0, 0))
        key = at(folder).key
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, (0, 0))
        assert at(folder).key != key

    def test_a_broken_digest_cache_only_costs_time(self, hand_made):
        folder = hand_made()
        key = at(folder).key
        for text in ("{", "[]", ""):
            (artifacts.root() / "digests.json").write_text(text)
            assert at(folder).key == key
