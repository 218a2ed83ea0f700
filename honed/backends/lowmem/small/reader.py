"""Weights, a panel of rows at a time: used where they lie in the map, or read from the files.

Weights of 32 bits are used in the map while a lease protects it, since reading would copy them.
Others are read into memory that is held, and widened. Rows of tables are always read, whatever the
kernel would map around a page that is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.lowmem.mapped import MappedWeights, read_into
from honed.backends.lowmem.small.arithmetic import Floats
from honed.backends.lowmem.stored import DTYPES, StoredTensor
from honed.errors import UnsupportedError

Ids = NDArray[np.int64]

# The types of weights that can be read, as safetensors spells them.
_READ = ("F32", "F16", "BF16", "I8")


class Reader:
    """One thread's reader. It opens the files itself, because the kernel reads ahead for each
    descriptor, and another thread's reading would confuse that.

    `numbers` is how many weights `rows` returns at most. Without `mapped`, all are read.
    """

    def __init__(
        self, tensors: Iterable[StoredTensor], numbers: int, mapped: MappedWeights | None = None
    ) -> None:
        tensors = tuple(tensors)
        refuse_types(tensors)
        paths = {tensor.file for tensor in tensors}
        self._files = {path: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths}
        self._mapped = mapped
        self.used_map = False  # in the last call of `rows`
        self._window = np.empty(numbers, np.float32)
        # As they lie in the file, before they become numbers of 32 bits.
        widths = [_width(tensor.dtype) for tensor in tensors if tensor.dtype != "F32"]
        self._raw = np.empty(numbers * max(widths, default=0), np.uint8)

    @property
    def nbytes(self) -> int:
        return self._window.nbytes + self._raw.nbytes

    @property
    def numbers(self) -> int:
        return self._window.size

    def rows(self, matrix: StoredTensor, first: int, last: int) -> Floats:
        """Rows first to last - 1 of a matrix [rows, columns], valid until the next call."""
        self.used_map = self._is_usable_in_map(matrix)
        if self.used_map and self._mapped is not None:
            self._mapped.check()
            in_map: Floats = self._mapped.array(matrix.name)[first:last]
            return in_map
        shape = (last - first, matrix.shape[1])
        window = self._window[: shape[0] * shape[1]]
        self._fill(window, matrix, first)
        return window.reshape(shape)

    def release(self, matrix: StoredTensor, first: int, last: int) -> None:
        """Give the pages of these rows back, unless pages are kept."""
        if self.used_map and self._mapped is not None:
            self._mapped.release_rows(matrix.name, first, last)

    def _is_usable_in_map(self, matrix: StoredTensor) -> bool:
        if self._mapped is None or not self._mapped.is_leased:
            return False
        return matrix.dtype == "F32" and matrix.is_aligned

    def will_need(self, matrix: StoredTensor, first: int, last: int) -> None:
        """Let the kernel read these rows from the disk into the page cache, without waiting."""
        row_bytes = matrix.nbytes // matrix.shape[0]
        start, length = matrix.offset + first * row_bytes, (last - first) * row_bytes
        os.posix_fadvise(self._files[matrix.file], start, length, os.POSIX_FADV_WILLNEED)

    def gather(self, matrix: StoredTensor, rows: Ids, out: Floats) -> None:
        """The given rows [n] of the matrix, into `out` [n, columns]; neighbours are read at once.

        IndexError if there is no such row."""
        if not rows.size:
            return
        if not 0 <= int(rows.min()) <= int(rows.max()) < matrix.shape[0]:
            raise IndexError(
                f"{matrix.name} has {matrix.shape[0]} rows; asked for were {rows.min()} to "
                f"{rows.max()}"
            )
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, end in zip([0, *breaks], [*breaks, len(rows)], strict=True):
            self._fill(out[start:end].reshape(-1), matrix, int(rows[start]))

    def _fill(self, numbers: Floats, matrix: StoredTensor, first: int) -> None:
        """The matrix from row `first` on, into `numbers`, which are contiguous."""
        width = _width(matrix.dtype)
        offset = matrix.offset + first * matrix.shape[1] * width
        if matrix.dtype == "F32":
            read_into(numbers.data.cast("B"), self._files[matrix.file], offset, matrix.file)
            return
        step = self._raw.size // width
        for start in range(0, numbers.size, step):
            part = numbers[start : start + step]
            raw = self._raw[: part.size * width]
            read_into(raw.data, self._files[matrix.file], offset + start * width, matrix.file)
            _widen(raw.view(DTYPES[matrix.dtype]), matrix.dtype, part)

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}


def refuse_types(tensors: Iterable[StoredTensor]) -> None:
    """UnsupportedError for weights of a type that is not read."""
    for tensor in tensors:
        if tensor.dtype not in _READ:
            raise UnsupportedError(
                f"{tensor.file} holds {tensor.name} as {tensor.dtype}, and lowmem.engine=small "
                f"reads {', '.join(_READ)}",
                "lowmem.engine=torch",
            )


def as_floats(stored: NDArray[Any], dtype: str) -> Floats:
    """A small tensor as numbers of 32 bits."""
    if dtype == "F32":
        return np.asarray(stored, np.float32)
    out = np.empty(stored.shape, np.float32)
    _widen(stored, dtype, out)
    return out


def _width(dtype: str) -> int:
    return np.dtype(DTYPES[dtype]).itemsize


def _widen(stored: NDArray[Any], dtype: str, out: Floats) -> None:
    """Narrow numbers, in the types of DTYPES, as numbers of 32 bits."""
    if dtype != "BF16":
        out[...] = stored
    else:  # the upper half of a number of 32 bits
        whole = out.view(np.uint32)
        whole[...] = stored
        whole <<= 16
