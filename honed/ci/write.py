"""The files of a gate: a script that any CI system can run, and the job that runs it."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from honed import units
from honed.backends.base import load_backend
from honed.ci.systems.base import Job, load_system
from honed.compose import compose
from honed.errors import UsageError
from honed.files import give
from honed.values import in_bash

SCRIPT = "ci/honed-gate.sh"
OUT = "honed-gate"  # the folder that the script fills, relative to where it is started
_TEMPLATE = Path(__file__).with_name("gate.sh")
# Besides the comparison: two environments with an engine each, and honed's own installation.
_INSTALLING_MIN = 25


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate measures and asks. `words` are those of `honed run`.

    Without `limit` the head must not be slower for certain, where a difference below `resolution`
    is a tie; with it, not slower by more than `limit`.
    """

    words: tuple[str, ...]
    resolution: str = "2%"
    limit: str | None = None
    budget: str = "5m"

    def __post_init__(self) -> None:
        if not self.words:
            raise UsageError(
                "say what the gate measures", "honed ci init model=NAME backend=onnxruntime"
            )
        units.share(self.resolution)
        if self.limit is not None:
            units.share(self.limit)
        units.seconds(self.budget)
        cases = compose(self.words).cases
        if len(cases) > 1:
            raise UsageError(
                f"the words are {len(cases)} cases, and a gate measures one",
                "give single values; a second gate is a second copy of the script",
            )
        if cases[0].python is not None:
            raise UsageError("python= is what the gate sets itself", "leave python= out")

    @property
    def question(self) -> tuple[str, ...]:
        if self.limit is not None:
            return ("--fail-if-slower", self.limit, "--budget", self.budget)
        return ("--resolution", self.resolution, "--budget", self.budget)

    @property
    def packages(self) -> tuple[str, ...]:
        """honed with the extra that brings the engine's packages."""
        (case,) = compose(self.words).cases
        return (f"honed[{load_backend(case.backend).EXTRA}]",)


def files(gate: Gate, system: str) -> dict[str, str]:
    """Path in the repository -> text of each file."""
    kind = load_system(system)
    limit_min = _INSTALLING_MIN + math.ceil(units.seconds(gate.budget) / 60)
    job = Job(SCRIPT, shlex.join(gate.packages), OUT, limit_min)
    return {SCRIPT: script(gate), kind.FILE: kind.write(job)}


def script(gate: Gate) -> str:
    parts = {
        "@SCRIPT@": SCRIPT,
        "@OUT@": OUT,
        "@WORDS@": " ".join(map(in_bash, gate.words)),
        "@QUESTION@": " ".join(map(in_bash, gate.question)),
        "@PACKAGES@": shlex.join(gate.packages),
    }
    text = _TEMPLATE.read_text("utf-8")
    for name, value in parts.items():
        text = text.replace(name, value)
    return text


def write(texts: dict[str, str], folder: Path, *, replace: bool) -> list[Path]:
    """Write the files; one that is there already is replaced only where `replace` says so."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", "--folder: the root of your repository")
    there = [folder / name for name in texts if (folder / name).exists()]
    if there and not replace:
        raise UsageError(f"{', '.join(map(str, there))}: there already", "--force replaces it")
    written = [give(folder / name, text, "--folder FOLDER") for name, text in texts.items()]
    (folder / SCRIPT).chmod(0o755)
    return written


def next_step(system: str) -> str:
    return load_system(system).NEXT
