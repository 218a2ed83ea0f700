"""What the front asks its workers for, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from honed import artifacts
from honed.models.checkpoint import Checkpoint
from honed.run.job import Job, Prepared
from honed.run.needs import about_tokenizer
from honed.run.passes.base import Measured

_KIND = "tokenizer"
TOKENIZER_FILE, FACTS_FILE = "tokenizer.json", "facts.json"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to a serving worker.

    prepare: make the model and the tokenizer. load: load the engine, prove it, and time a few
    calls with at most `longest` tokens. answer: answer calls on the socket `descriptor`.
    `gives_way` lowers the worker's priority; a worker that is not `timed` times no calls.
    `shapes` are texts and width of batches that an idle worker may try, so that the engine has
    planned them before they come.
    """

    do: Literal["prepare", "load", "answer"]
    job: Job
    longest: int = 0
    tokenizer: Path | None = None
    descriptor: int = -1
    gives_way: int = 0
    timed: bool = True
    shapes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Equipped:
    """What a server needs: what a run of its Case needs, and the folder of its tokenizer.

    `tokenizer` is None for a model that has none; it then takes token ids only.
    """

    prepared: Prepared
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One timed call: how many texts, how wide the batch, and the seconds. `first_s` is what the
    first call of this shape took."""

    rows: int
    width: int
    seconds: float
    first_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that can answer: what was proven, its timed calls, the outputs' dependence on
    neighbours (None: not measured in this worker), and the level of its priority."""

    measured: Measured
    points: tuple[Point, ...]
    skips_padding: bool
    neighbour_cosine: float | None = None
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a worker's last request: how many calls it answered."""

    calls: int


def about(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that decides the tokenizer's file."""
    return {"format": 1, **about_tokenizer(checkpoint)}


def find_tokenizer(checkpoint: Checkpoint) -> Path | None:
    """The folder of the tokenizer's file, if it has been made."""
    return artifacts.find(_KIND, artifacts.content_key(about(checkpoint)))


def make_tokenizer(checkpoint: Checkpoint) -> Path:
    """The folder of the tokenizer's file; made first if need be, which imports transformers."""
    import json

    from honed.models.tokenizer import save_fast

    def build(folder: Path) -> None:
        padding_id = save_fast(checkpoint, folder / TOKENIZER_FILE)
        (folder / FACTS_FILE).write_text(json.dumps({"padding_id": padding_id}))

    return artifacts.make(_KIND, about(checkpoint), build)
