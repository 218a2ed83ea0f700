"""The fake model: a checkpoint folder that only needs numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WORDS, _HIDDEN = 1000, 16


def write_tiny(folder: Path, seed: int) -> None:
    """Write config.json and model.safetensors; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "tiny", "architectures": ["TinyModel"], "vocab_size": _WORDS,
              "hidden_size": _HIDDEN, "max_position_embeddings": 512}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    random = np.random.default_rng(seed)
    shapes = {"embedding.weight": (_WORDS, _HIDDEN), "projection.weight": (_HIDDEN, _HIDDEN),
              "projection.bias": (_HIDDEN,)}  # fmt: skip
    tensors = {name: random.standard_normal(s, np.float32) for name, s in shapes.items()}
    write_safetensors(folder / "model.safetensors", tensors)


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
