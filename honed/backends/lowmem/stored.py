"""Where the tensors of a checkpoint lie in its safetensors files, from the headers of the files.

Imports numpy alone, so that an engine without torch can use it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from honed.errors import ModelError, UnsupportedError
from honed.models.weights import weight_files

# The names of safetensors -> numpy's. numpy has no bfloat16: its bits come as uint16.
DTYPES: Mapping[str, str] = {
    "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8", "I8": "i1", "U8": "u1", "BOOL": "?",
    "I16": "<i2", "I32": "<i4", "I64": "<i8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor in a file: its type by safetensors' name, and where its bytes lie."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def is_aligned(self) -> bool:
        """Whether its elements lie at multiples of their size, as arithmetic needs them."""
        return self.offset % np.dtype(DTYPES[self.dtype]).itemsize == 0

    def rows(self, begin: int, end: int) -> StoredTensor:
        """Rows `begin` to `end` - 1 of a matrix, as a tensor."""
        row_bytes = self.nbytes // self.shape[0]
        return replace(
            self,
            shape=(end - begin, *self.shape[1:]),
            offset=self.offset + begin * row_bytes,
            nbytes=(end - begin) * row_bytes,
        )


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint, from one file or from shards, by name.

    ModelError if a file is cut short or its header is broken; UnsupportedError if the weights are
    no safetensors files.
    """
    found: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        if file.path.suffix != ".safetensors":
            raise UnsupportedError(
                f"{file.path} is not a safetensors file, so it cannot be used from a map",
                "save the model again with save_pretrained, which writes safetensors",
            )
        found |= _header(file.path)
    return found


def _header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file, whose lengths `weight_files` has checked."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = (int(at) for at in about["data_offsets"])
        shape, dtype = tuple(int(n) for n in about["shape"]), str(about["dtype"])
        if dtype not in DTYPES:
            raise UnsupportedError(
                f"{path} holds {name} as {dtype}, which honed cannot read",
                f"save the model in one of {', '.join(DTYPES)}",
            )
        if end - begin != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
            raise ModelError(
                f"{path} has a broken safetensors header: {name} is {end - begin} bytes long, "
                f"but its shape is {list(shape)}",
                "copy or download the file again",
            )
        found[name] = StoredTensor(name, path, dtype, shape, 8 + length + begin, end - begin)
    return found
