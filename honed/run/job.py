"""What the parent hands a worker: one JSON on its standard input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from honed.case import Case
from honed.knob import Value
from honed.models.checkpoint import Checkpoint
from honed.workers.seat import Seat

Kind = Literal["prepare", "build", "measure"]


# Where siblings wait for each other, in order: before timing; when nobody is timed any more; when
# all are loaded and idle (shared pages are counted then); when all have been counted.
BARRIERS = ("start", "timed", "idle", "counted")


_PATHS = ("inputs", "reference", "calibration", "examples", "answers", "barriers")


@dataclass(frozen=True, slots=True)
class Job:
    """One process's work. The paths are set for the kinds that need them."""

    kind: Kind
    case: Case
    result_fd: int
    parent_pid: int
    seat: Seat = field(default_factory=Seat)
    in_child: Mapping[str, Value] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    inputs: Path | None = None
    reference: Path | None = None
    calibration: Path | None = None
    examples: Path | None = None
    answers: Path | None = None
    barriers: Path | None = None

    def dump(self) -> str:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["case"] = self.case.to_json()
        plain["seat"] = dataclasses.asdict(self.seat)
        plain["in_child"] = dict(self.in_child)
        plain["checkpoint"] = self.checkpoint and checkpoint_json(self.checkpoint)
        return json.dumps(plain, default=str)

    @classmethod
    def parse(cls, text: str) -> Job:
        data: dict[str, Any] = json.loads(text)
        data["case"] = Case.from_json(data["case"])
        seat = data["seat"]
        data["seat"] = Seat(**{**seat, "cpus": tuple(seat["cpus"]), "nodes": tuple(seat["nodes"])})
        for key in _PATHS:
            data[key] = Path(data[key]) if data[key] else None
        if data["checkpoint"] is not None:
            data["checkpoint"] = read_checkpoint(data["checkpoint"])
        return cls(**data)


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    return {**dataclasses.asdict(checkpoint), "folder": str(checkpoint.folder)}


def read_checkpoint(data: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(**{**data, "folder": Path(data["folder"])})
