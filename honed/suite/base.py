"""What the file of a suite defines: experiments, each a few sweeps and the way they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from honed import discovery
from honed.case import Case
from honed.compose import compose
from honed.errors import UsageError, nearest

_ROOM = "honed.suite.sets"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One question of a suite.

    `sweeps` are the words of one or more sweeps. `view` is the file of honed/report/views that
    shows their records. `compares`: records of the same model and shape are compared with the
    first of them. `plans`: the view shows the plans of the Cases beside the measurements.
    Experiments may share Cases.
    """

    name: str
    title: str
    question: str
    view: str
    sweeps: tuple[str, ...] = ()
    compares: bool = False
    plans: bool = False

    def cases(self) -> tuple[Case, ...]:
        found = [case for words in self.sweeps for case in compose(words.split()).cases]
        return tuple(dict.fromkeys(found))


class SuiteFile(Protocol):
    """The names that the file of a suite defines."""

    HELP: str

    def experiments(self, *, quick: bool) -> tuple[Experiment, ...]:
        """In the order of the report. `quick`: a small version that shows that everything runs."""


def suite_names() -> tuple[str, ...]:
    """The names as people type them: `lm-systems`."""
    return tuple(name.replace("_", "-") for name in discovery.names(_ROOM))


def load_suite(name: str) -> SuiteFile:
    """UsageError with the nearest name if there is no such suite."""
    if name not in suite_names():
        raise UsageError(f"no suite is called {name!r}", nearest(name, suite_names()))
    return cast(SuiteFile, discovery.load(_ROOM, name.replace("-", "_")))


def all_cases(experiments: Sequence[Experiment]) -> tuple[Case, ...]:
    """The Cases of all experiments, each once."""
    return tuple(dict.fromkeys(case for each in experiments for case in each.cases()))
