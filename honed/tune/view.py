"""View: what a planner sees; Proposal: what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.tune.ask import Ask
from honed.tune.space import Space
from honed.tune.trial import Point, Setting, Trial, point, settings


@dataclass(frozen=True, slots=True)
class View:
    """All that a planner sees. `share`: how much of the search's time or trials is used."""

    ask: Ask
    space: Space
    trials: Sequence[Trial]
    share: float

    @property
    def settings(self) -> list[Setting]:
        return settings(self.trials)

    def tried(self, at: Point) -> bool:
        """Whether somebody has measured it, or is at it."""
        name = Trial(0, "", point(at), "").setting
        return any(t.setting == name and t.status != "interrupted" for t in self.trials)

    def new(self, at: Point) -> bool:
        return not self.tried(at) and self.space.refusal(at) is None


@dataclass(frozen=True, slots=True)
class Proposal:
    point: Point
    stage: str


Planner = Callable[[View], Proposal | None]
