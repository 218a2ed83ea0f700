"""Names of large weight files: sampled, yet no small change goes unseen."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from honed import artifacts
from honed.models import weights
from honed.models.tiny import write_safetensors

TENSORS = 40


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A folder whose weights count as large: 40 tensors of 64 KiB, sampled 4 KiB at a time."""
    monkeypatch.setattr(weights, "_WHOLE_BYTES", 1024)
    monkeypatch.setattr(weights, "_MIB", 4096)
    (tmp_path / "config.json").write_text('{"vocab_size": 9}')
    tensors = {f"t{i:02}": np.full(16_384, i, np.float32) for i in range(TENSORS)}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    return tmp_path


def key(folder):
    return weights.content_key(folder, weights.weight_files(folder))


def change(path, offset):
    """Flip a bit, and leave the time as it was."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("tensor", range(0, TENSORS, 3))
def test_a_change_of_any_tensor_is_seen(large, tensor):
    before = key(large)
    path = large / "model.safetensors"
    (file,) = weights.weight_files(large)
    change(path, sorted(file.offsets)[tensor] + 100)
    assert key(large) != before


@pytest.mark.parametrize("offset", [20, -1])
def test_a_change_of_the_header_or_the_end_is_seen(large, offset):
    path = large / "model.safetensors"
    (file,) = weights.weight_files(large)
    before = weights._digest(file)
    change(path, offset if offset > 0 else path.stat().st_size + offset)
    assert weights._digest(file) != before


def test_a_large_file_is_not_read_whole(large):
    """Between the samples a change goes unseen: that is the price, and this is where it lies."""
    path = large / "model.safetensors"
    (file,) = weights.weight_files(large)
    before = weights._digest(file)
    span = path.stat().st_size - 4096
    change(path, span // 17 + 4096 + 10)  # just behind the second chunk
    assert weights._digest(file) == before


def test_an_archives_checksums_name_it(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_WHOLE_BYTES", 1024)
    monkeypatch.setattr(weights, "_MIB", 64)
    digests = set()
    for value in (b"a", b"b"):
        content = bytearray(200_000)
        content[99_999] = value[0]
        with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
            archive.writestr("m/data/0", bytes(content))
        (file,) = weights.weight_files(tmp_path)
        assert file.parameter_bytes == 200_000
        digests.add(weights._digest(file))
    assert len(digests) == 2


def test_a_known_file_is_not_hashed_again(large, monkeypatch):
    first = key(large)

    def hashed(_):
        raise AssertionError("hashed again")

    monkeypatch.setattr(weights, "_digest", hashed)
    assert key(large) == first
    change(large / "model.safetensors", 5000)
    with pytest.raises(AssertionError, match="hashed again"):
        key(large)


def test_a_cache_that_cannot_be_written_does_no_harm(large, monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setattr(artifacts, "root", lambda: blocker / "below")
    assert key(large) == key(large)


def test_the_digest_cache_forgets_the_oldest(large, monkeypatch, tmp_path):
    monkeypatch.setattr(artifacts, "root", lambda: tmp_path / "cache")
    monkeypatch.setattr(weights, "_DIGESTS_KEPT", 3)
    for name in "abcde":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        write_safetensors(folder / "model.safetensors", {"t": np.ones(2, np.float32)})
        key(folder)
    kept = weights._read_digests()
    assert [path.split("/")[-2] for path in kept] == ["c", "d", "e"]
