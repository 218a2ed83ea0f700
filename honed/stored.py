"""Stored records for notebooks and scripts: a sequence that is shown as one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from honed.notebook import Notebook
from honed.record import Record
from honed.store import open_store


class Records(Notebook, Sequence[Record]):
    """Records in a fixed order. A slice is again Records."""

    __slots__ = ("_records",)

    def __init__(self, of: Iterable[Record] = ()) -> None:
        self._records = tuple(of)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return Records(self._records[index])
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"Records({', '.join(record.id for record in self._records)})"


def records(*where: str, newest: int | None = 20, store: str | None = None) -> Records:
    """The newest stored records that meet all conditions, the newest last, as `honed list` takes
    them: `records("backend=torch", "batch_size>=8")`. `newest=None` gives all of them."""
    with open_store(store, make=False) as opened:
        return Records(opened.list(limit=newest, where=where))
