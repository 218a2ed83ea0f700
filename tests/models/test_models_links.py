"""Links to nowhere, and folders of the hub's cache."""

from __future__ import annotations

import json

import pytest

from honed.errors import ModelError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate


def refused(folder):
    with pytest.raises(ModelError) as raised:
        locate(ModelRequest(str(folder)))
    return raised.value


class TestLinks:
    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_link_to_nowhere_is_named(self, hand_made, name):
        folder = hand_made()
        (folder / name).unlink()
        (folder / name).symlink_to("../../blobs/gone")
        raised = refused(folder)
        assert f"{name} is a link to ../../blobs/gone, which does not exist" in raised.message
        assert "cp -rL" in raised.hint

    def test_so_is_a_folder_that_is_one(self, tmp_path):
        (tmp_path / "model").symlink_to("gone")
        assert "is a link to gone, which does not exist" in refused(tmp_path / "model").message

    def test_a_shard_that_is_one(self, hand_made):
        folder = hand_made()
        (folder / "model.safetensors").unlink()
        (folder / "one.safetensors").symlink_to("gone")
        index = {"weight_map": {"a": "one.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        assert "one.safetensors is a link to gone" in refused(folder).message

    def test_hub_caches_hint_at_the_hub_id(self, tmp_path):
        root = tmp_path / "models--owner--the-name"
        (root / "snapshots" / "abc").mkdir(parents=True)
        for folder in (root, root / "snapshots"):
            assert refused(folder).hint.endswith("of owner/the-name: give model=owner/the-name")
        assert "such as model=owner/the-name" in refused(tmp_path).hint
