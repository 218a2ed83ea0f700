"""The fake model: a checkpoint folder that only needs numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VOCAB_SIZE = 1000
HIDDEN_SIZE = 16
MAX_POSITIONS = 512


def write_tiny(folder: Path, seed: int) -> None:
    """Write config.json and model.safetensors; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "tiny",
        "architectures": ["TinyModel"],
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "max_position_embeddings": MAX_POSITIONS,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    random = np.random.default_rng(seed)
    write_safetensors(
        folder / "model.safetensors",
        {
            "embedding.weight": _normal(random, VOCAB_SIZE, HIDDEN_SIZE),
            "projection.weight": _normal(random, HIDDEN_SIZE, HIDDEN_SIZE),
            "projection.bias": _normal(random, HIDDEN_SIZE),
        },
    )


def read_tiny(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a checkpoint that `write_tiny` wrote."""
    content = (folder / "model.safetensors").read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        flat = np.frombuffer(content[data_start + begin : data_start + end], np.float32)
        tensors[name] = flat.reshape(tensor["shape"])
    return tensors


def write_safetensors(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    """The safetensors layout: header length (8 bytes, little endian), JSON header, then data."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts on a multiple of eight
    data = b"".join(np.ascontiguousarray(t, "<f4").tobytes() for t in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def _normal(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return random.standard_normal(shape, np.float32)
