"""The weight files of a checkpoint: which there are, whether they are whole, and their hash.

No tensor is loaded. The header of a safetensors file or the directory of an archive is enough.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.errors import ModelError
from honed.files import write_whole

_MIB = 2**20
_WHOLE_BYTES = 64 * _MIB  # files up to this size are hashed whole
_SAMPLES = 16
_TENSOR_BYTES = 4096
_DIGESTS_KEPT = 2000
_LFS_MARK = b"version https://git-lfs"


class MissingWeightsError(ModelError):
    """Weight files are missing. For a hub id this means that the download is not complete."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file. `parameter_bytes` excludes the header; `offsets` are the starts of the tensors."""

    path: Path
    parameter_bytes: int
    offsets: tuple[int, ...] = ()


def weight_files(folder: Path) -> tuple[WeightFile, ...]:
    """The files that hold the weights, checked. ModelError names a file that is broken.

    Files are looked for in the order in which transformers does.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        single, index = folder / name, folder / f"{name}.index.json"
        refuse_dangling(single)
        refuse_dangling(index)
        if single.exists():
            return (_checked(single),)
        if index.exists():
            return tuple(_checked(path) for path in _shards(index))
    raise MissingWeightsError(
        f"{folder} has no weights",
        "it needs model.safetensors or pytorch_model.bin, or one of them in shards with its "
        "index.json",
    )


def refuse_dangling(path: Path) -> None:
    """MissingWeightsError if the path is a link to something that does not exist."""
    if path.is_symlink() and not path.exists():
        raise MissingWeightsError(
            f"{path} is a link to {path.readlink()}, which does not exist",
            "copy the folder with what its links point to (cp -rL), or download the model again "
            "(hf download OWNER/NAME)",
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file; ModelError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}", "check the path and its permissions"
        ) from error
    _refuse_lfs_pointer(path, content[: len(_LFS_MARK)])
    try:
        return json.loads(content)
    except ValueError as error:
        raise ModelError(
            f"{path} is not valid JSON: {error}", "copy or download the file again"
        ) from error


def content_key(folder: Path, files: Iterable[WeightFile]) -> str:
    """A hash of all that decides what the checkpoint computes: configuration, weights and code.

    Hashes of weight files are remembered by path, size and times of modification and change.
    """
    try:
        known = json.loads(_digests_path().read_bytes())
    except (OSError, ValueError):  # not written yet, or broken: the files are hashed again
        known = {}
    known = known if isinstance(known, dict) else {}
    fresh, parts = {}, {}
    for file in files:
        path = str(file.path.resolve())
        status = file.path.stat()
        # Images and archives may give every file the same time of modification.
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = known.get(path)
        digest = entry[-1] if entry and entry[:-1] == stamp else _digest(file)
        fresh[path] = [*stamp, digest]
        parts[file.path.name] = [status.st_size, digest]
    if any(known.get(path) != entry for path, entry in fresh.items()):
        _write_digests(known | fresh)
    for small in (folder / "config.json", *sorted(folder.glob("*.py"))):
        parts[small.name] = [small.stat().st_size, hashlib.sha256(small.read_bytes()).hexdigest()]
    return artifacts.content_key(parts)


def _checked(path: Path) -> WeightFile:
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}", "check the file and its permissions"
        ) from error
    _refuse_lfs_pointer(path, start)
    return _safetensors(path, size) if path.suffix == ".safetensors" else _bin(path, size, start)


def _refuse_lfs_pointer(path: Path, start: bytes) -> None:
    if start.startswith(_LFS_MARK):
        raise ModelError(
            f"{path} is a Git LFS pointer, not the file itself",
            f"fetch the content: git -C {path.parent} lfs pull",
        )


def _shards(index: Path) -> list[Path]:
    content = read_json(index)
    mapping = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(mapping, dict) or not mapping:
        raise ModelError(f"{index} has no weight_map", "copy or download the file again")
    names = sorted({str(name) for name in mapping.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise ModelError(
            f"{index} names a file outside its folder: {outside[0]}",
            "do not trust this checkpoint: shards belong beside their index",
        )
    for name in names:
        refuse_dangling(index.parent / name)
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        raise MissingWeightsError(
            f"{index} names {len(names)} files, of which {len(missing)} are missing: "
            f"{', '.join(missing[:3])}",
            "copy or download the missing shards",
        )
    return [index.parent / name for name in names]


def _safetensors(path: Path, size: int) -> WeightFile:
    """Layout: header length (8 bytes, little endian), JSON header, then the tensors' bytes."""
    again = "copy or download the file again"
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 0 < length <= size - 8:
            raise ModelError(f"{path} is cut short or not a safetensors file", again)
        text = file.read(length)
    try:
        header = json.loads(text)
        spans = [tensor["data_offsets"] for k, tensor in header.items() if k != "__metadata__"]
        data_bytes = max((int(end) for _, end in spans), default=0)
        offsets = tuple(8 + length + int(begin) for begin, _ in spans)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} has a broken safetensors header", again) from error
    expected = 8 + length + data_bytes
    if size != expected:
        way = "cut short" if size < expected else "longer than its header says"
        raise ModelError(f"{path} is {way}: {size} bytes, not {expected}", again)
    return WeightFile(path, data_bytes, offsets)


def _bin(path: Path, size: int, start: bytes) -> WeightFile:
    """torch.save writes a zip archive (since torch 1.6) or a bare pickle (before)."""
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except zipfile.BadZipFile as error:
            raise ModelError(
                f"{path} is cut short: its archive has no end", "copy or download the file again"
            ) from error
        return WeightFile(path, sum(e.file_size for e in entries if "/data/" in e.filename))
    if start.startswith(b"\x80"):
        return WeightFile(path, size)
    raise ModelError(
        f"{path} is neither a zip archive nor a pickle, so not weights that torch wrote",
        "copy or download the file again, or convert it to safetensors",
    )


def _digest(file: WeightFile) -> str:
    """A hash of the file, or of samples of a large one, since hashing gigabytes takes seconds.

    The samples are: both ends of the file and 16 chunks between them; of a safetensors file also
    the header and the start of every tensor, because training changes every element of the
    tensors that it changes; of a zip archive also its directory, which holds a checksum of every
    tensor.
    """
    size = file.path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    if size <= _WHOLE_BYTES:
        digest.update(file.path.read_bytes())
        return digest.hexdigest()
    if zipfile.is_zipfile(file.path):
        with zipfile.ZipFile(file.path) as archive:
            for entry in archive.infolist():
                digest.update(f"{entry.filename} {entry.file_size} {entry.CRC}".encode())
    with open(file.path, "rb") as content:
        last = size - _MIB
        for offset in (last * i // (_SAMPLES + 1) for i in range(_SAMPLES + 2)):
            content.seek(offset)
            digest.update(content.read(_MIB))
        for offset in file.offsets:
            content.seek(offset)
            digest.update(content.read(_TENSOR_BYTES))
        if file.offsets:
            content.seek(0)
            digest.update(content.read(min(file.offsets)))
    return digest.hexdigest()


def _digests_path() -> Path:
    return artifacts.root() / "digests.json"


def _write_digests(digests: dict[str, list[Any]]) -> None:
    """Of two processes that write at once, one may lose entries; their files are hashed again."""
    latest = dict(list(digests.items())[-_DIGESTS_KEPT:])
    path = _digests_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(latest))
    except OSError:
        return  # without a writable cache, every run hashes again: about a second
