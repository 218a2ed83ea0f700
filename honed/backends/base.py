"""What every backend file offers, and the Step it gives back.

A backend is one file (or folder) in this room with the names of the `Backend` protocol. It imports
its framework inside `load` and `build` only, and it never imports a workload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

import honed.discovery
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Value
from honed.models.checkpoint import Checkpoint

_ROOM = "honed.backends"

Batch = Mapping[str, Any]  # name -> int64 numpy array [batch, length]
Outputs = Mapping[str, Any]  # name -> float numpy array, first axis = batch


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Everything a backend needs: the Case, and the checkpoint with "auto" resolved.

    `threads` None leaves the engine its own choice. `calibration` are batches that a quantiser
    may look at; they are never the batches that fidelity is judged on. There are some for int8
    and int4. A quantiser that uses them puts `calibration_key` into its artifact's content and
    `calibrated_on` into what is read back as "calibration".
    """

    case: Case
    checkpoint: Checkpoint
    threads: int | None
    calibration: tuple[Batch, ...] = ()
    calibration_source: str = ""

    @property
    def calibration_key(self) -> str:
        """Names the calibration batches by their content; empty without any."""
        if not self.calibration:
            return ""
        found = hashlib.sha256()
        for batch in self.calibration:
            for name in sorted(batch):
                found.update(f"{name}{batch[name].shape}".encode() + batch[name].tobytes())
        return found.hexdigest()[:20]

    @property
    def calibrated_on(self) -> str | None:
        """How many batches of what, as one reads it; None without any."""
        if not self.calibration:
            return None
        return f"{len(self.calibration)} batches: {self.calibration_source or 'unknown source'}"


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

    def device_memory(self, feed: Any) -> Mapping[str, int]:
        """`allocated_peak_bytes` and `reserved_peak_bytes` of one call on a GPU; else empty."""

    def read_back(self) -> Mapping[str, Value | None]:
        """What the engine says of itself: `threads`, `precision` and each knob by its full key.

        `skips_padding` is true where an engine computes the real tokens of a batch only.
        `caller` is "waits" where calls run on threads of the engine's own, and the thread that
        called only hands over and waits: it is then not counted as running. `turns` is true where
        threads that hand work to the pool compute a share while as many of the pool's wait: more
        threads run than at a time, so that how many are runnable at once is what counts.
        """

    def close(self) -> None:
        """Let go of the weights."""


class Backend(Protocol):
    """The names a backend file defines.

    Five more are optional: `HIDDEN = True` keeps it out of users' lists; `ENVIRONMENT` are the
    packages of an engine that cannot live beside the others; `EXPERT_RANK` is how early a search
    tries it among engines that promise the same (see `expert_rank`); `POOL = "openmp"` says that
    its threads are OpenMP's; `PRELOAD_ENVIRONMENT` is what it needs wherever a library is
    preloaded, which honed's workers have and a deployment must be told.
    """

    KNOBS: tuple[Knob, ...]
    PRECISIONS: tuple[str, ...]  # on a CPU with the instructions for it
    HELP: str  # one line
    REFERENCE: str  # the backend whose fp32 output is the truth for this one: "torch"
    EXTRA: str  # the extra that installs it: "onnxruntime" in honed[onnxruntime]

    def available(self) -> Availability:
        """Whether the engine is installed; how to install it otherwise. Imports nothing heavy."""

    def versions(self) -> Mapping[str, str]:
        """Package name -> version, of everything that shapes the artifact or the result."""

    def check(self, case: Case) -> None:
        """Raise UnsupportedError for a combination that this engine cannot do. Imports nothing."""

    def start(self) -> None:
        """Import the framework, so that its cost is not counted as the model's."""

    def artifact(self, request: LoadRequest) -> Mapping[str, Any] | None:
        """What decides the exported artifact's content, or None if the engine needs none."""

    def build(self, request: LoadRequest, folder: Path) -> None:
        """Export into `folder` (empty, private). Runs in a process of its own."""

    def load(self, request: LoadRequest, artifact: Path | None) -> Step:
        """A ready Step. `artifact` is the folder that `build` filled."""


def load_backend(name: str) -> Backend:
    """The backend file of that name; UsageError with the nearest names otherwise."""
    return cast(Backend, honed.discovery.load(_ROOM, name, Backend))


def thread_pool(name: str) -> str:
    """Whose the engine's threads are: "openmp", or "" for a pool of its own."""
    return str(getattr(load_backend(name), "POOL", ""))


def preload_environment(name: str) -> Mapping[str, str]:
    """Variables that the engine needs in a process with a preloaded library."""
    found: Mapping[str, str] = getattr(load_backend(name), "PRELOAD_ENVIRONMENT", {})
    return found


UNLIKELY_RANK = 9


def expert_rank(name: str) -> int:
    """The lower, the earlier a search tries the engine: what is known of it before measuring.

    It decides only what a short budget reaches first; from UNLIKELY_RANK on, the engine waits
    until the others are done. 5 where the file says nothing.
    """
    return int(getattr(load_backend(name), "EXPERT_RANK", 5))


def backend_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def survey_backends() -> honed.discovery.Survey:
    """Every backend file: those that work, and what is wrong with the others."""
    return honed.discovery.survey(_ROOM, Backend)


def installed(modules: Mapping[str, str], extra: str) -> Availability:
    """Whether every importable module -> package of `modules` is there; the command otherwise."""
    missing = [package for module, package in modules.items() if find_spec(module) is None]
    if not missing:
        return AVAILABLE
    how = f"pip install 'honed[{extra}]'"
    return Availability(False, f"{' and '.join(missing)} not installed", how, tuple(missing))


def refuse(case: Case, backend: str, precisions: Sequence[str]) -> None:
    """Raise UnsupportedError for a precision that `backend` does not have."""
    if case.precision not in precisions:
        raise UnsupportedError(
            f"{backend} has no {case.precision} here", f"precision={','.join(precisions)}"
        )


def refuse_values(case: Case, knobs: Sequence[Knob]) -> None:
    """Raise UnsupportedError for a value of a knob that is not to be had on this machine."""
    for knob in knobs:
        value = case.get(knob.name)
        if value is None or knob.available_value is None:
            continue
        if not (found := knob.available_value(value)).ok:
            raise UnsupportedError(f"{knob.name}={value}: {found.why}", found.how)
