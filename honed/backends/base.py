"""What every backend file offers, and the Step it gives back.

A backend is one file (or folder) in this room with the names of the `Backend` protocol. It imports
its framework inside `load` and `build` only, and it never imports a workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import honed.discovery
from honed.case import Case
from honed.knob import Availability, Knob, Value

Batch = Mapping[str, Any]  # name -> int64 numpy array [batch, length]
Outputs = Mapping[str, Any]  # name -> float numpy array, first axis = batch


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Everything a backend needs: the Case, a local checkpoint folder, where to keep artifacts.

    `task` and `pooling` have "auto" resolved. `calibration` are batches that a quantiser may
    look at; they are never the batches that are measured for fidelity.
    """

    case: Case
    checkpoint: Path
    task: str
    pooling: str
    threads: int | None
    calibration: tuple[Batch, ...] = ()


class Step(Protocol):
    """Loaded, ready, callable, closable. Only `run` is timed."""

    weights_bytes: int

    def prepare(self, batch: Batch) -> Any:
        """The batch as this engine takes it; done once, outside the timing."""

    def run(self, feed: Any) -> Any:
        """One forward pass; returns when the outputs are complete (CUDA: synchronised)."""

    def outputs(self, raw: Any) -> Outputs:
        """What `run` returned, as numpy float arrays under the task's names."""

    def tensor_peak_bytes(self, feed: Any) -> int | None:
        """Weights + inputs + the most tensors alive in one call, by the engine's own allocator.

        None where the engine cannot tell.
        """

    def read_back(self) -> Mapping[str, Value | None]:
        """What the engine says of itself: `threads`, `precision` and each knob by its full key."""

    def close(self) -> None:
        """Let go of the weights."""


class Backend(Protocol):
    """The names a backend file defines."""

    KNOBS: tuple[Knob, ...]
    PRECISIONS: tuple[str, ...]  # on a CPU with the instructions for it
    HELP: str  # one line
    REFERENCE: str  # the backend whose fp32 output is the truth for this one: "torch"

    def available(self) -> Availability:
        """Whether the engine is installed; how to install it otherwise. Imports nothing heavy."""

    def versions(self) -> Mapping[str, str]:
        """Package name -> version, of everything that shapes the artifact or the result."""

    def check(self, case: Case) -> None:
        """Raise UnsupportedError for a combination that this engine cannot do. Imports nothing."""

    def artifact_key(self, request: LoadRequest) -> str | None:
        """What names the exported artifact by content, or None if the engine needs none."""

    def build(self, request: LoadRequest, folder: Path) -> None:
        """Export into `folder` (empty, private). Runs in a process of its own."""

    def load(self, request: LoadRequest, artifact: Path | None) -> Step:
        """A ready Step. `artifact` is the folder that `build` filled."""


def load_backend(name: str) -> Backend:
    """The backend file of that name; UsageError with the nearest names otherwise."""
    return cast(Backend, honed.discovery.load("honed.backends", name))


def backend_names() -> tuple[str, ...]:
    return honed.discovery.names("honed.backends")
