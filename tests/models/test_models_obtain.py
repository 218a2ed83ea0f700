"""From the name of a model to its checkpoint: what a name means, and what is made for it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from honed.case import Case
from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate, materialise


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def refused(folder, **request):
    with pytest.raises(ModelError) as raised:
        at(folder, **request)
    assert raised.value.hint
    return raised.value


class TestWords:
    def test_a_folder_is_inspected(self, hand_made):
        found = at(hand_made())
        assert (found.source, found.task, found.pooling) == (
            "folder",
            "feature-extraction",
            "mean",
        )
        assert (found.vocab_size, found.max_positions) == (120, 64)
        assert found.weights_bytes == 4 * 17
        assert found.folder.is_absolute()

    def test_a_plain_word_may_be_a_folder_here(self, hand_made, monkeypatch):
        folder = hand_made("bert-base-uncased")
        monkeypatch.chdir(folder.parent)
        assert at("bert-base-uncased").folder == folder.resolve()

    def test_from_a_case(self):
        case = Case(model="m", seed=3, task="masked-lm", pooling="cls", trust_remote_code=True)
        assert ModelRequest.from_case(case) == ModelRequest("m", 3, "masked-lm", "cls", True)

    @pytest.mark.parametrize("word", ["./no", "../no", "/no/where", "~/no-such-folder-here"])
    def test_a_missing_folder_says_so(self, word):
        assert f"no folder {word}" in refused(word).message

    def test_a_file_names_its_folder(self, hand_made):
        folder = hand_made()
        error = refused(folder / "model.safetensors")
        assert f"model={folder}" in error.hint

    def test_a_folder_above_the_checkpoint_names_the_one_below(self, hand_made):
        folder = hand_made()
        assert f"model={folder}" in refused(folder.parent).hint

    def test_a_slip_names_the_nearest_shapes(self):
        error = refused("bert-base-uncasd")
        assert "bert-base-uncased" in error.hint
        assert "owner/name" in error.hint

    @pytest.mark.parametrize("word", ["two words", "a/b/c", "x:y", "é", ""])
    def test_a_word_of_no_form_lists_the_forms(self, word):
        error = refused(word) if word else refused("//")
        assert "folder" in error.hint or "folder" in error.message

    @pytest.mark.parametrize("word", ["some-owner/some-model", "zzz9"])
    def test_a_hub_id_that_is_not_here_is_to_be_made(self, word):
        assert at(word) is None

    def test_locating_imports_no_framework(self, hand_made):
        folder = hand_made(auto_map={"AutoModel": "modeling_x.X"})
        code = (
            "import sys; from honed.models.obtain import *;"
            f"[locate(ModelRequest(m)) for m in ({str(folder)!r}, 'bert-base', 'owner/name')];"
            "print(sorted({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"


class TestMaking:
    @pytest.mark.engine
    def test_random_weights_are_made_once_and_found(self):
        request = ModelRequest("tiny-bert", seed=5)
        assert locate(request) is None
        made = materialise(request)
        before = (made.folder / "model.safetensors").stat().st_mtime_ns
        assert materialise(request) == made == locate(request)
        assert (made.folder / "model.safetensors").stat().st_mtime_ns == before
        assert made.source == "preset"
        assert made.key == made.folder.name

    @pytest.mark.engine
    def test_the_seed_and_the_task_decide_the_weights(self):
        def content(**request):
            folder = materialise(ModelRequest("tiny-bert", **request)).folder
            return (folder / "model.safetensors").read_bytes()

        first = content(seed=6)
        folder = materialise(ModelRequest("tiny-bert", seed=6)).folder
        shutil.rmtree(folder)
        assert content(seed=6) == first
        assert content(seed=7) != first
        classifier = materialise(ModelRequest("tiny-bert", 6, "sequence-classification"))
        assert classifier.config["architectures"] == ["BertForSequenceClassification"]
        assert classifier.task == "sequence-classification"

    @pytest.mark.engine
    def test_making_leaves_the_random_state_alone(self):
        import torch

        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        materialise(ModelRequest("tiny-bert", seed=8))
        assert torch.equal(torch.rand(3), expected)

    def test_its_folder_given_by_path_is_the_same_checkpoint(self):
        made = materialise(ModelRequest("tiny", 9, "token-classification"))
        assert at(made.folder) == made
        refused(made.folder, task="masked-lm")

    def test_a_hub_id_offline_says_what_to_type(self):
        with pytest.raises(ModelError) as raised:
            materialise(ModelRequest("some-owner/some-model"))
        assert "cannot be reached" in raised.value.message
        assert "model=./path" in raised.value.hint
