"""Tensors of torch over mapped weights, and the vectors that a schedule keeps in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch

from honed.backends.lowmem.mapped import MappedWeights

# Every type of mapped.DTYPES: checkpoints also hold masks and positions.
_TYPES = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
    "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip


class WeightTensors:
    """The weights of a checkpoint as tensors of the type that the schedule computes in."""

    def __init__(self, mapped: MappedWeights, dtype: Any) -> None:
        self.mapped = mapped
        self.dtype = dtype
        self.vectors: dict[str, Any] = {}
        # Making a view takes as long as a small product, so each is made once.
        self._views: dict[str, Any] = {}

    def stored_type(self, name: str) -> Any:
        """The torch type of the tensor in the file."""
        return _TYPES[self.mapped.stored[name].dtype]

    def in_map(self, name: str) -> Any:
        """The tensor as it is stored, in the map: reading it costs pages, writing it is an error.
        A tensor that does not lie at a multiple of its element's size is copied."""
        if name in self._views:
            return self._views[name]
        array = self.mapped.array(name)
        with warnings.catch_warnings():
            # torch warns that it cannot mark a tensor as read-only; nothing here writes to one.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            aligned = self.mapped.stored[name].is_aligned
            tensor = torch.from_numpy(array if aligned else array.copy())
        stored = self.stored_type(name)
        view = tensor.view(stored) if tensor.dtype != stored else tensor
        if aligned:
            self._views[name] = view
        return view

    def part(self, name: str, begin: int = 0, end: int | None = None) -> Any:
        """Rows of a matrix, ready to be multiplied: a view of the map if the types agree."""
        return self.in_map(name)[begin:end].to(self.dtype)

    def columns(self, name: str, begin: int, end: int) -> Any:
        return self.in_map(name)[:, begin:end].to(self.dtype)

    def keep(self, names: Iterable[str]) -> None:
        """Copy small tensors into memory, so that using them touches no page of the map."""
        for name in names:
            if name not in self.vectors:
                self.vectors[name] = self.in_map(name).to(self.dtype, copy=True)
        self.mapped.release(self.vectors)

    def vector(self, name: str | None) -> Any:
        """A tensor that was kept; None for the name of nothing."""
        return None if name is None else self.vectors[name]

    def rows(self, name: str, rows: list[int], into: Any) -> None:
        """Read rows of a table into [len(rows), width] of the computed type."""
        stored = self.stored_type(name)
        buffer = into if into.dtype == stored else torch.empty(into.shape, dtype=stored)
        bits = buffer.view(torch.uint16) if stored == torch.bfloat16 else buffer
        self.mapped.read_rows(name, rows, bits.numpy())
        if buffer is not into:
            into.copy_(buffer)

    def close(self) -> None:
        """Close the files. No view of the map may be used any more."""
        self._views.clear()
        self.mapped.close()

    @property
    def kept_bytes(self) -> int:
        return sum(int(tensor.nbytes) for tensor in self.vectors.values())
