"""Reading panels of weights: types, rows, and files that become shorter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from honed.backends.lowmem.small.reader import Reader
from honed.backends.lowmem.stored import StoredTensor
from honed.errors import ModelError, UnsupportedError

ROWS, COLUMNS = 50, 12
VALUES = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
BEFORE = 24  # bytes of something else


def bits(dtype: str) -> bytes:
    """The values in a file of this type."""
    if dtype == "BF16":
        return (VALUES.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return VALUES.astype({"F32": np.float32, "F16": np.float16}[dtype]).tobytes()


def rounded(dtype: str) -> np.ndarray:
    """The values as a file of this type holds them, bfloat16 cut off."""
    if dtype == "BF16":
        return (VALUES.view(np.uint32) >> 16 << 16).view(np.float32)
    return VALUES.astype(np.float16).astype(np.float32) if dtype == "F16" else VALUES


@pytest.fixture(params=["F32", "F16", "BF16"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> StoredTensor:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * BEFORE + bits(request.param))
    size = len(bits(request.param))
    return StoredTensor("table", path, request.param, (ROWS, COLUMNS), BEFORE, size)


@pytest.fixture
def reader(stored: StoredTensor) -> Iterator[Reader]:
    reader = Reader([stored], 5 * COLUMNS)
    yield reader
    reader.close()


def test_a_panel_of_rows(reader: Reader, stored: StoredTensor) -> None:
    wanted = rounded(stored.dtype)
    for first, last in ((0, 5), (17, 20), (ROWS - 1, ROWS), (3, 3)):
        np.testing.assert_array_equal(reader.rows(stored, first, last), wanted[first:last])


def test_a_gather_of_rows_in_any_order(reader: Reader, stored: StoredTensor) -> None:
    """The run of neighbours is longer than a panel."""
    rows = np.array([7, 3, *range(20, 36), 3, 0, ROWS - 1])
    found = np.empty((len(rows), COLUMNS), np.float32)
    reader.gather(stored, rows, found)
    np.testing.assert_array_equal(found, rounded(stored.dtype)[rows])
    reader.gather(stored, rows[:0], found[:0])


@pytest.mark.parametrize("row", [-1, ROWS])
def test_a_row_that_the_table_does_not_have(
    reader: Reader, stored: StoredTensor, row: int
) -> None:
    with pytest.raises(IndexError, match=f"{ROWS} rows"):
        reader.gather(stored, np.array([row]), np.empty((1, COLUMNS), np.float32))


def test_a_file_that_was_cut_short(reader: Reader, stored: StoredTensor) -> None:
    os.truncate(stored.file, BEFORE + stored.nbytes // 2)
    reader.rows(stored, 0, 5)
    with pytest.raises(ModelError, match="cut short"):
        reader.rows(stored, ROWS - 5, ROWS)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(8))
    with pytest.raises(UnsupportedError, match="I64") as refused:
        Reader([StoredTensor("ids", path, "I64", (1, 1), 0, 8)], 1)
    assert "torch" in refused.value.hint
