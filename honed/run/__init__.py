"""run: one Case in, one Record out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.case import Case
    from honed.record import Record

__all__ = ["run"]


def run(case: Case, *, store: str | None = None) -> Record:
    """Measure one Case in fresh processes, store the Record, and return it.

    `store` is a database URL; unset, the same one that `honed run` appends to. Whatever goes
    wrong while measuring is the Record's status and error; only a Case that cannot be started
    at all (UsageError) or a store that cannot be opened (StoreError) raises.
    """
    from honed.run.parent import measure
    from honed.store import open_store

    opened = open_store(store)
    record = measure(case)
    opened.append(record)
    return record
