"""compare: which of two or more settings is faster, said only when the trials can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.case import Case
    from honed.compare.outcome import Comparison
    from honed.compare.session import How

__all__ = ["compare"]


def compare(cases: Mapping[str, Case] | Sequence[Case], how: How | None = None) -> Comparison:
    """Measure the Cases in turns, in fresh processes, until the first and each other are told
    apart or called a tie, or the budget is spent.

    A mapping names the sides; a sequence is called A, B, C. Every trial's Record is stored.
    """
    from honed.compare import session, settings

    sides = cases if isinstance(cases, Mapping) else settings.lettered(cases)
    return session.compare(sides, how or session.How())
