"""Folders that sentence-transformers saved."""

from __future__ import annotations

import json

import pytest

from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def refused(folder):
    with pytest.raises(ModelError) as raised:
        at(folder)
    return raised.value


class TestSentenceTransformers:
    """Folders of that library: what honed computes is taken over, the rest is refused by name."""

    LAYOUT = (("", "Transformer"), ("1_Pooling", "Pooling"))

    def put(self, root, modules=LAYOUT, library="sentence_transformers.models."):
        root.mkdir(exist_ok=True)
        listed = [{"path": path, "type": f"{library}{kind}"} for path, kind in modules]
        (root / "modules.json").write_text(json.dumps(listed))
        (root / "1_Pooling").mkdir()
        (root / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": "cls"}))
        return root

    def test_the_old_layout_has_its_transformer_one_folder_below(self, hand_made, tmp_path):
        root = self.put(tmp_path / "root", (("0_Transformer", "Transformer"), self.LAYOUT[1]))
        hand_made("root/0_Transformer")
        settings = {"max_seq_length": 48, "do_lower_case": True}
        path = root / "0_Transformer/sentence_bert_config.json"
        path.write_text(json.dumps(settings))
        found = at(root)
        assert (found.folder, found.pooling) == (root / "0_Transformer", "cls")
        assert (found.reading.longest, found.reading.lower_case) == (48, True)

    @pytest.mark.parametrize("kind", ["Dense", "LayerNorm", "Router", "CNN"])
    def test_modules_that_honed_does_not_compute_are_refused(self, hand_made, kind):
        folder = self.put(hand_made(), (*self.LAYOUT, ("2", kind)))
        raised = refused(folder)
        assert f"a module sentence_transformers.models.{kind}" in raised.message
        assert "pooling=mean" in raised.hint
        assert at(folder, pooling="mean").pooling == "mean"  # the user's word decides

    def test_so_are_modules_of_other_packages(self, hand_made):
        assert "custom.Transformer" in refused(self.put(hand_made(), library="custom.")).message

    def test_modules_that_change_no_cosine_are_not(self, hand_made):
        folder = self.put(hand_made(), (*self.LAYOUT, ("2", "Normalize"), ("3", "Dropout")))
        assert at(folder).pooling == "cls"

    @pytest.mark.parametrize(
        "option", [{"transformer_task": "fill-mask"}, {"module_output_name": "sentence_embedding"}]
    )
    def test_so_are_options(self, hand_made, option):
        folder = self.put(hand_made())
        (folder / "sentence_bert_config.json").write_text(json.dumps(option))
        assert f"sets {next(iter(option))}=" in refused(folder).message

    def test_prompts(self, hand_made):
        folder = self.put(hand_made())
        path = folder / "config_sentence_transformers.json"
        path.write_text(json.dumps({"prompts": {"q": "query: "}}))
        assert at(folder).reading.prompt == ""
        before = at(folder).text_key
        path.write_text(json.dumps({"prompts": {"q": "query: "}, "default_prompt_name": "q"}))
        assert at(folder).reading.prompt == "query: "
        assert at(folder).text_key != before
        pooling = folder / "1_Pooling/config.json"
        pooling.write_text(json.dumps({"pooling_mode": "cls", "include_prompt": False}))
        assert "include_prompt" in refused(folder).message
        path.write_text(json.dumps({"default_prompt_name": "other"}))
        assert "no prompt 'other'" in refused(folder).message
