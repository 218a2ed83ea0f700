"""The result of a search through releases: what was compared, and who is to blame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from honed.experiment.draw import Metric
from honed.notebook import Notebook
from honed.plain import to_plain
from honed.record import Interval

Ended = Literal["found", "not slower", "undecided", "interrupted"]
Role = Literal["ends", "halving", "confirming"]


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison of two releases. `ratio` is the metric of `newer` divided by that of `older`.

    The first is of the two ends, the last of the two neighbours, with processes of its own, so
    that its interval owes nothing to the search.
    """

    role: Role
    older: str
    newer: str
    verdict: str
    ratio: Interval
    trials: int
    elapsed_s: float
    sweep: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A release that could not be installed, or gave no result."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Blame(Notebook):
    """`found`: `guilty` is slower than `before`, the release before it, by `ratio` (newer divided
    by older). `not slower`: the newest release is not slower than the oldest. `undecided`: the
    slowdown came after `before` and not after `guilty`, and `reason` says why no more is known.
    """

    package: str
    metric: Metric
    releases: tuple[str, ...]
    ended: Ended
    looks: tuple[Look, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    before: str | None = None
    guilty: str | None = None
    ratio: Interval = field(default_factory=lambda: Interval(None))
    reason: str = ""
    elapsed_s: float = 0.0

    @property
    def whole(self) -> Interval:
        """The newest release over the oldest."""
        return next((look.ratio for look in self.looks if look.role == "ends"), Interval(None))

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain
