"""What to try next: a pure function of what has been tried.

Nothing is remembered between two calls, so a resumed study goes on where it was, and several
processes that share a study never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

from honed import discovery
from honed.knob import Value
from honed.study import Candidate, Setting, Trial, candidates
from honed.tune.policy import POLICY
from honed.tune.question import Question
from honed.tune.space import Space


@dataclass(frozen=True)
class View:
    """All that a planner sees. `share`: how much of the search's time or trials is used."""

    question: Question
    space: Space
    trials: Sequence[Trial]
    share: float

    @cached_property
    def candidates(self) -> list[Candidate]:
        return candidates(self.trials)

    @cached_property
    def _tried(self) -> set[Setting]:
        return {t.setting for t in self.trials if t.status != "interrupted"}

    @cached_property
    def leading(self) -> list[Candidate]:
        """The best candidate of each branch with a result, the best branch first."""
        best: dict[tuple[str, str], Candidate] = {}
        for candidate in self.candidates:
            if candidate.ok:
                best.setdefault(candidate.setting.branch, candidate)
        return list(best.values())

    def tried(self, setting: Setting) -> bool:
        """Whether it has been measured, or is being measured by another process."""
        return setting in self._tried

    def is_new(self, setting: Setting) -> bool:
        return not self.tried(setting) and self.space.refusal(setting) is None

    def may_begin(self, stage: str) -> bool:
        """Whether the stage still has time for a trial."""
        return self.share < POLICY.latest_share[stage]

    def bare(self, branch: tuple[str, str], **changes: Value | None) -> Setting:
        """A branch with nothing else set than `changes`."""
        backend, precision = branch
        return self.space.normal({"backend": backend, "precision": precision, **changes})


@dataclass(frozen=True, slots=True)
class Proposal:
    setting: Setting
    stage: str


Planner = Callable[[View], Proposal | None]


class Stage(Protocol):
    """One file of `honed/tune/stages`. The first stage by ORDER that has a proposal is asked."""

    ORDER: int

    def propose(self, view: View) -> Proposal | None:
        """The next trial of this stage; None if there is nothing left for it to try."""


@cache
def _stages() -> tuple[Stage, ...]:
    package = "honed.tune.stages"
    names = discovery.names(package)
    stages: list[Any] = [discovery.load(package, name, Stage) for name in names]
    return tuple(sorted(stages, key=lambda stage: stage.ORDER))


def in_stages(view: View) -> Proposal | None:
    """The default first, then stage by stage; None when nothing is left that is worth trying."""
    if not view.tried(view.space.default):
        return Proposal(view.space.default, "default")
    return next((p for stage in _stages() if (p := stage.propose(view)) is not None), None)


def exhaustive(view: View) -> Proposal | None:
    """Every setting of every branch, in order: what brute force does."""
    if not view.tried(view.space.default):
        return Proposal(view.space.default, "default")
    for branch in view.space.branches:
        for setting in view.space.settings(branch):
            if not view.tried(setting):
                return Proposal(setting, "exhaustive")
    return None


PLANNERS: Mapping[str, Planner] = {"stages": in_stages, "exhaustive": exhaustive}
