"""compare: which of two or more settings is faster, with a verdict only when it is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.case import Case
    from honed.compare.outcome import Comparison
    from honed.compare.session import CompareOptions

__all__ = ["compare"]


def compare(
    cases: Mapping[str, Case] | Sequence[Case],
    options: CompareOptions | None = None,
    *,
    store: str | None = None,
) -> Comparison:
    """Measure the Cases in turns, in fresh processes, until each is told apart from the first or
    called a tie, or until the budget is spent.

    The keys of a mapping name the sides; a sequence's sides are called A, B, C. The Record of
    every trial goes into the store (a database URL; unset, the one of `honed run`).
    """
    from honed.compare import session, settings
    from honed.run.lab import LocalLab
    from honed.store import open_store

    sides = cases if isinstance(cases, Mapping) else settings.lettered(cases)
    with open_store(store) as opened:
        return session.compare(sides, options or session.CompareOptions(), LocalLab(opened))
