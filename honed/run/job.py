"""What the parent asks a worker for, and what is prepared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from honed.case import Case
from honed.errors import UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.workers.seat import Seat

Kind = Literal["prepare", "build", "measure", "deliver"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What has been made for a Case: its model, and by kind the folders of what it needs."""

    model: Checkpoint | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Checkpoint:
        if self.model is None:
            raise UnsupportedError("this needs a model, and a kernel has none", "workload=...")
        return self.model

    def adding(self, kind: str, folder: Path) -> Prepared:
        return replace(self, folders={**self.folders, kind: folder})


@dataclass(frozen=True, slots=True)
class Job:
    """One request to a worker: the work of `honed.run.KIND` for one Case.

    `barriers` is the folder of the barriers where instances wait for each other; `out` is the
    folder that a delivering job fills.
    """

    kind: Kind
    case: Case
    seat: Seat = field(default_factory=Seat)
    prepared: Prepared = field(default_factory=Prepared)
    barriers: Path | None = None
    out: Path | None = None
