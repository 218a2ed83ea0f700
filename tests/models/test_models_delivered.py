"""What a delivered folder keeps of a checkpoint, in whatever layout the checkpoint has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_folders import change_json

from honed.case import Case
from honed.errors import ModelError
from honed.models import delivered
from honed.models.checkpoint import Checkpoint, ModelRequest, inspect
from honed.models.obtain import locate
from honed.models.tiny import write_safetensors, write_tiny

LAYOUT = (("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))


@pytest.fixture
def nested(tmp_path: Path) -> Checkpoint:
    """A sentence encoder whose transformer lies in a folder of its own."""
    root = tmp_path / "encoder"
    write_tiny(root / "0_Transformer", 0)
    (root / "0_Transformer" / "vocab.txt").write_text("a b")
    (root / "0_Transformer" / "model.py").write_text("raise SystemExit")
    listed = [{"path": p, "type": f"sentence_transformers.models.{kind}"} for p, kind in LAYOUT]
    (root / "modules.json").write_text(json.dumps(listed))
    change_json_in(root / "1_Pooling", pooling_mode="cls", embedding_dimension=16)
    change_json_in(root / "2_Dense", in_features=16, out_features=4, bias=False,
                   activation_function="torch.nn.modules.linear.Identity")  # fmt: skip
    weight = np.ones((4, 16), np.float32)
    write_safetensors(root / "2_Dense" / "model.safetensors", {"linear.weight": weight})
    (root / "pictures").mkdir()
    (root / "pictures" / "big.bin").write_bytes(b"0" * 100)
    return inspect(root, ModelRequest(str(root)))


def change_json_in(folder: Path, **values: object) -> None:
    folder.mkdir()
    change_json(folder / "config.json", **values)


def deliver(checkpoint: Checkpoint, folder: Path, *, with_weights: bool) -> Path:
    """As the delivering job does, with a Case of the fake engine."""
    folder.mkdir()
    copied = delivered.copy_checkpoint(
        checkpoint, folder / "checkpoint", with_weights=with_weights
    )
    delivered.save(checkpoint, folder, copied)
    case = Case(model="x", backend="fake", precision="int8")
    settings = {"case": case.to_json(), "reading": None}
    (folder / delivered.SETTINGS_FILE).write_text(json.dumps(settings))
    return folder


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_the_small_files_are_copied_in_their_layout_without_weights_and_code(
    nested: Checkpoint, tmp_path: Path
) -> None:
    folder = deliver(nested, tmp_path / "deployed", with_weights=False)
    assert files(folder / "checkpoint") == {
        "modules.json", "0_Transformer/config.json", "0_Transformer/vocab.txt",
        "1_Pooling/config.json", "2_Dense/config.json",
    }  # fmt: skip


def test_the_weights_are_copied_where_they_are_the_engines_files(
    nested: Checkpoint, tmp_path: Path
) -> None:
    folder = deliver(nested, tmp_path / "deployed", with_weights=True)
    found = files(folder / "checkpoint")
    assert {"0_Transformer/model.safetensors", "2_Dense/model.safetensors"} <= found
    opened = locate(ModelRequest(str(folder)))
    assert opened is not None
    assert opened.layers[0].folder == folder / "checkpoint" / "2_Dense"


def test_the_facts_of_the_checkpoint_come_back_with_the_folders_of_this_machine(
    nested: Checkpoint, tmp_path: Path
) -> None:
    folder = deliver(nested, tmp_path / "deployed", with_weights=False)
    moved = folder.rename(tmp_path / "elsewhere")
    opened = locate(ModelRequest(str(moved)))
    assert opened is not None
    assert opened.folder == moved / "checkpoint" / "0_Transformer"
    assert opened.source == "delivered"
    assert (opened.key, opened.config, opened.pooling) == (nested.key, nested.config, "cls")
    assert opened.layers[0].outputs == 4
    assert opened.engine_files is not None
    assert (opened.engine_files.backend, opened.engine_files.precision) == ("fake", "int8")
    assert opened.engine_files.folder == moved / "model"


def test_a_folder_is_a_delivered_one_by_its_two_files(nested: Checkpoint, tmp_path: Path) -> None:
    folder = deliver(nested, tmp_path / "deployed", with_weights=False)
    assert delivered.find(str(folder)) == folder
    assert delivered.settings_of(str(folder))["backend"] == "fake"
    (folder / delivered.CHECKPOINT_FILE).unlink()
    assert delivered.find(str(folder)) is None
    for other in ("bert-base-uncased", "~nobody-of-this-name/x", "a\0b", "x" * 5000):
        assert delivered.find(other) is None
        assert delivered.settings_of(other) == {}


def test_settings_without_a_case_are_an_error_of_the_model(
    nested: Checkpoint, tmp_path: Path
) -> None:
    folder = deliver(nested, tmp_path / "deployed", with_weights=False)
    (folder / delivered.SETTINGS_FILE).write_text("{}")
    with pytest.raises(ModelError, match="no Case"):
        locate(ModelRequest(str(folder)))
