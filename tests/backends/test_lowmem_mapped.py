"""Mapped weights: views, rows, pages given back, and files that are changed while in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from honed.backends.lowmem.ahead import ReadAhead
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.stored import stored_tensors
from honed.errors import ModelError, UnsupportedError
from honed.instruments import memory
from honed.models.tiny import write_safetensors

MIB = 2**20


def write(
    folder: Path, name: str = "model.safetensors", rows: int = 2048
) -> dict[str, np.ndarray]:
    """A table of `rows` x 1024 and a vector."""
    random = np.random.default_rng(1)
    tensors = {
        "table": random.standard_normal((rows, 1024), np.float32),
        "vector": random.standard_normal(7, np.float32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / name, tensors)
    return tensors


def test_arrays_are_views_with_the_files_content(tmp_path: Path) -> None:
    tensors = write(tmp_path)
    weights = MappedWeights(stored_tensors(tmp_path))
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights.array(name), tensor)
        assert not weights.array(name).flags.writeable
        assert not weights.array(name).flags.owndata
    into = np.empty((3, 1024), np.float32)
    weights.read_rows("table", [5, 2000, 5], into)
    np.testing.assert_array_equal(into, tensors["table"][[5, 2000, 5]])
    whole = np.empty(7, np.float32)
    weights.read("vector", whole)
    np.testing.assert_array_equal(whole, tensors["vector"])
    with pytest.raises(IndexError, match="2048 rows"):
        weights.read_rows("table", [2048], into)
    weights.close()


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"first": np.ones((2, 2), np.float32)})
    write_safetensors(tmp_path / "b.safetensors", {"second": np.full((3,), 2, np.float32)})
    shards = {"weight_map": {"first": "a.safetensors", "second": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shards))
    weights = MappedWeights(stored_tensors(tmp_path))
    assert weights.array("first").sum() == 4
    assert weights.array("second").sum() == 6
    weights.release(["first", "second"])
    assert weights.array("second").sum() == 6
    weights.close()


def test_pages_are_given_back(tmp_path: Path) -> None:
    tensors = write(tmp_path, rows=16384)  # 64 MiB
    weights = MappedWeights(stored_tensors(tmp_path))
    before = memory.status().file_bytes
    total = float(weights.array("table").sum())
    assert memory.status().file_bytes - before > 60 * MIB
    weights.release(["table"])
    assert memory.status().file_bytes - before < 4 * MIB
    weights.populate(["table"])
    assert memory.status().file_bytes - before > 60 * MIB
    weights.release_all()
    assert memory.status().file_bytes - before < 4 * MIB
    weights.will_need(["table"])
    assert memory.status().file_bytes - before < 4 * MIB
    assert float(weights.array("table").sum()) == total == float(tensors["table"].sum())
    weights.close()


def test_pages_are_kept_where_that_is_asked(tmp_path: Path) -> None:
    write(tmp_path, rows=16384)
    weights = MappedWeights(stored_tensors(tmp_path), keeps_pages=True)
    before = memory.status().file_bytes
    weights.array("table").sum()
    weights.release(["table"])
    weights.release_rows("table", 0, 16384)
    weights.release_all()
    assert memory.status().file_bytes - before > 60 * MIB
    weights.close()


def test_rows_are_read_without_their_neighbours(tmp_path: Path) -> None:
    write(tmp_path, rows=16384)
    weights = MappedWeights(stored_tensors(tmp_path))
    into = np.empty((512, 1024), np.float32)
    before = memory.status().file_bytes
    weights.read_rows("table", list(range(0, 16384, 32)), into)
    assert memory.status().file_bytes - before < MIB
    weights.close()


@pytest.mark.parametrize("how", ["cut", "written"])
def test_a_file_that_changed_between_calls_is_refused(tmp_path: Path, how: str) -> None:
    write(tmp_path)
    weights = MappedWeights(stored_tensors(tmp_path))
    with weights.held():
        weights.check()
    path = tmp_path / "model.safetensors"
    if how == "cut":
        os.truncate(path, 4096)
    else:
        with open(path, "r+b") as file:
            file.seek(5000)
            file.write(b"changed")
        os.utime(path, ns=(1, 1))  # the clock of a file system may be coarse
    with pytest.raises(ModelError, match="changed or cut short") as refused, weights.held():
        raise AssertionError("the block must not run")
    assert "run again" in refused.value.hint
    weights.close()


def test_pages_beyond_the_end_are_an_error_and_no_signal(tmp_path: Path) -> None:
    """Without a lease, populating finds the missing pages before anything touches them."""
    write(tmp_path)
    weights = MappedWeights(stored_tensors(tmp_path))
    os.truncate(tmp_path / "model.safetensors", 4096)
    with pytest.raises(ModelError, match="cut short"):
        weights.populate(["table"])
    with pytest.raises(ModelError, match="cut short"):
        weights.read_rows("table", [2000], np.empty((1, 1024), np.float32))
    weights.close()


def is_refused(weights: MappedWeights) -> bool:
    try:
        weights.check()
    except ModelError:
        return True
    return False


def test_a_writer_waits_while_the_weights_are_held(tmp_path: Path) -> None:
    """The writer is another process; it gets through as soon as the block ends."""
    tensors = write(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = MappedWeights(stored_tensors(tmp_path))
    code = f"import os; os.truncate({str(path)!r}, 100)"
    with weights.held():
        assert weights.is_leased
        writer = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 30
        while not is_refused(weights) and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(ModelError, match="changed or cut short"):
            weights.check()
        assert writer.poll() is None
        np.testing.assert_array_equal(weights.array("table"), tensors["table"])
    assert writer.wait() == 0
    assert path.stat().st_size == 100
    weights.close()


def test_a_replaced_file_goes_on_with_the_old_content(tmp_path: Path) -> None:
    tensors = write(tmp_path)
    weights = MappedWeights(stored_tensors(tmp_path))
    write(tmp_path / "new", rows=1)
    os.replace(tmp_path / "new" / "model.safetensors", tmp_path / "model.safetensors")
    with weights.held():
        np.testing.assert_array_equal(weights.array("table"), tensors["table"])
    weights.close()


def test_a_read_only_checkpoint_can_be_used(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        weights = MappedWeights(stored_tensors(tmp_path))
        with weights.held():
            assert weights.array("vector").shape == (7,)
        weights.close()
    finally:
        tmp_path.chmod(0o755)


def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"[7]", b"[8]", 1))
    with pytest.raises(ModelError, match="vector is 28 bytes long"):
        stored_tensors(tmp_path)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80" + bytes(100))
    with pytest.raises(UnsupportedError, match="not a safetensors file") as refused:
        stored_tensors(tmp_path)
    assert "save_pretrained" in refused.value.hint


def test_layers_are_read_ahead_of_their_use(tmp_path: Path) -> None:
    """Two layers are read; the third waits until one is done."""
    write(tmp_path)
    weights = MappedWeights(stored_tensors(tmp_path))
    asked: list[tuple[str, ...]] = []
    weights.will_need = asked.append  # type: ignore[assignment, method-assign]
    with ReadAhead(weights, [("table",), ("vector",), ("table", "vector"), ("table",)]) as ahead:
        wait_for(lambda: len(asked) == 2)
        ahead.done_with_a_layer()
        wait_for(lambda: len(asked) == 3)
    assert asked == [("table",), ("vector",), ("table", "vector")]
    weights.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
