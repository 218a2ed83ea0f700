"""Names of large weight files: sampled, yet no small change goes unseen."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from honed import artifacts
from honed.models import weights
from honed.models.tiny import write_safetensors

MIB = 2**20
TENSORS = 40
TENSOR_BYTES = 3 * MIB  # 120 MiB in all, sparse on the disk


def write_sparse(path, tensors=TENSORS, tensor_bytes=TENSOR_BYTES):
    """A safetensors file of zeros that takes no space. Returns where each tensor starts."""
    starts = [i * tensor_bytes for i in range(tensors)]
    header = {
        f"t{i:02}": {
            "dtype": "F32",
            "shape": [tensor_bytes // 4],
            "data_offsets": [start, start + tensor_bytes],
        }
        for i, start in enumerate(starts)
    }
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + tensors * tensor_bytes)
    return [8 + len(text) + start for start in starts]


@pytest.fixture
def large(tmp_path):
    """A folder with large weights, and where each tensor starts in them."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "config.json").write_text('{"vocab_size": 9}')
    return folder, write_sparse(folder / "model.safetensors")


def key(folder):
    return weights.content_key(folder, weights.weight_files(folder))


def change(path, offset):
    """Flip a bit. The time of change moves by the least that a file system keeps."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def bytes_read(function):
    """How many bytes this process read meanwhile, by the kernel's count."""

    def total():
        return int(re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())[1])

    before = total()
    function()
    return total() - before


def test_a_change_of_any_tensor_is_seen(large):
    folder, starts = large
    keys = {key(folder)}
    for start in starts[::3]:
        change(folder / "model.safetensors", start + 100)
        keys.add(key(folder))
    assert len(keys) == 1 + len(starts[::3])


@pytest.mark.parametrize("offset", [60, -1])
def test_a_change_of_the_header_or_the_end_is_seen(large, offset):
    folder, _ = large
    path = folder / "model.safetensors"
    before = key(folder)
    if offset > 0:  # the header must stay JSON: t00 becomes another name
        with open(path, "r+b") as file:
            offset = file.read(200).index(b"t00") + 2
    change(path, offset if offset > 0 else path.stat().st_size + offset)
    assert key(folder) != before


def test_a_large_file_is_not_read_whole(large):
    """A change between the samples goes unseen. That is the price of a quick start."""
    folder, _ = large
    path = folder / "model.safetensors"
    assert bytes_read(lambda: key(folder)) < path.stat().st_size / 5
    path.unlink()
    write_sparse(path, tensors=10, tensor_bytes=400 * MIB)
    assert bytes_read(lambda: key(folder)) < 24 * MIB


def test_a_small_file_is_read_whole(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    write_safetensors(tmp_path / "model.safetensors", {"t": np.zeros(MIB, np.float32)})
    path = tmp_path / "model.safetensors"
    keys = {key(tmp_path)}
    offsets = range(1000, 4 * MIB, MIB // 3)
    for offset in offsets:
        change(path, offset)
        keys.add(key(tmp_path))
    assert len(keys) == 1 + len(offsets)


def test_an_archives_checksums_name_it(tmp_path):
    """A change of one byte that no sample holds changes the archive's checksum of its tensor."""
    (tmp_path / "config.json").write_text("{}")
    keys = set()
    content = bytearray(100 * MIB)
    for value in (1, 2):
        content[5 * MIB] = value
        with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
            archive.writestr("m/data/0", bytes(content))
        (file,) = weights.weight_files(tmp_path)
        assert file.parameter_bytes == 100 * MIB
        keys.add(key(tmp_path))
    assert len(keys) == 2


def test_a_known_file_is_not_hashed_again(large):
    folder, _ = large
    first = key(folder)
    assert bytes_read(lambda: key(folder)) < MIB
    assert key(folder) == first
    change(folder / "model.safetensors", 5000)
    assert bytes_read(lambda: key(folder)) > 10 * MIB


def test_a_cache_that_cannot_be_written_does_no_harm(large, monkeypatch, tmp_path):
    folder, _ = large
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "file" / "below"))
    assert key(folder) == key(folder)


def test_the_digest_cache_forgets_the_oldest(monkeypatch, tmp_path):
    """Of a checkpoint in 2,100 shards and a later one, the first shards are forgotten."""
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, shards in ((old, 2100), (new, 1)):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        names = [f"model-{i:04}.safetensors" for i in range(shards)]
        index = {"weight_map": {str(i): name for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        for name in names:
            write_safetensors(folder / name, {"t": np.ones(1, np.float32)})
        key(folder)
    remembered = list(json.loads((artifacts.root() / "digests.json").read_text()))
    assert len(remembered) == 2000
    assert remembered[-1] == str(new / "model-0000.safetensors")
    assert str(old / "model-0100.safetensors") not in remembered
    assert str(old / "model-2099.safetensors") in remembered
