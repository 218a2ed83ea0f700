"""Phase: what a worker is doing. Workers report phases; progress, watches and guards read them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Phase(StrEnum):
    """The phases of one Case, in the order in which most Cases go through them.

    The value is the text that a progress line shows.
    """

    STARTING = "starting"
    PLANNING = "planning its memory"
    PREPARING = "preparing"
    MAKING_MODEL = "making the model"
    MAKING_INPUTS = "making inputs"
    COMPUTING_REFERENCE = "computing the reference"
    EVALUATING_REFERENCE = "evaluating the reference"
    IMPORTING = "importing"
    EXPORTING = "exporting"
    LOADING = "loading"
    CHECKING = "checking"
    WARMING_UP = "warming up"
    MEASURING = "measuring"
    MEASURED = "measured"
    MEASURING_MEMORY = "measuring memory"
    EVALUATING = "evaluating"
    PROFILING = "profiling"

    @property
    def is_timed(self) -> bool:
        """Whether the engine is called again and again, so that a slow setting shows itself."""
        return self in (Phase.WARMING_UP, Phase.MEASURING)

    @property
    def is_once(self) -> bool:
        """Whether the first process alone goes through it, because what it makes is kept."""
        return self in (
            Phase.PREPARING, Phase.MAKING_MODEL, Phase.MAKING_INPUTS, Phase.COMPUTING_REFERENCE,
            Phase.EVALUATING_REFERENCE, Phase.EXPORTING,
        )  # fmt: skip


# Called with a new phase, or with None about once a second while a phase goes on.
OnPhase = Callable[[Phase | None], None]


def ignore_phase(_: Phase | None) -> None:
    """The OnPhase callback of callers that show no progress."""
