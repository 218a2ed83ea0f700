"""What the job of every CI system is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from honed import discovery

_ROOM = "honed.ci.systems"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that runs the script of the gate. `packages` install honed with the engine; `out` is
    the folder that the script fills; `limit_min` ends a job that hangs."""

    script: str
    packages: str
    out: str
    limit_min: int


class System(Protocol):
    """The names that a module of this room defines."""

    HELP: str
    FILE: str  # where the system looks for the file, or where a line of its file may include it
    NEXT: str  # what the user does with the file

    def write(self, job: Job) -> str:
        """The text of the file."""


def load_system(name: str) -> System:
    return cast(System, discovery.load(_ROOM, name, System))
