"""The protocol of a backend file, the Step that it returns, and the traits that it may declare.

A backend is one file (or folder) in this room. It defines the names of the `Backend` protocol
and, where the defaults do not fit, `TRAITS`. It imports its framework only inside `start`, `load`
and `build`, and it imports no workload and no other backend.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
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


UNLIKELY_RANK = 9
# Phrases of a failed allocation that any engine in C++ may raise.
_ANY_MEMORY_WORDS = ("out of memory", "bad_alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Facts about an engine that other rooms read, each with a default.

    A backend file defines `TRAITS = Traits(...)` where it differs from the defaults.
    """

    # It runs when it is asked for by name, but no list, search or help text names it.
    hidden: bool = False
    # The requirements of an environment of its own, if it cannot be installed beside the others.
    environment: tuple[str, ...] = ()
    # A search tries engines that promise the same in this order, the lowest first; those from
    # UNLIKELY_RANK on only after all others.
    expert_rank: int = 5
    # "openmp" if it computes on OpenMP's threads; empty if it has a thread pool of its own.
    thread_pool: str = ""
    # Variables that take the number of threads. OpenMP's is read by numpy's BLAS as well, and by
    # torch, which exports the model for most engines.
    thread_variables: tuple[str, ...] = ("OMP_NUM_THREADS",)
    # Variables that it needs in a process that preloads a library. honed's workers set them; a
    # deployment has to set them too.
    preload_environment: Mapping[str, str] = field(default_factory=dict)
    # Packages whose versions a record keeps, beside those that `versions()` names.
    packages: tuple[str, ...] = ()
    # Phrases, in lower case, of the RuntimeError that it raises when an allocation fails.
    memory_words: tuple[str, ...] = ()
    # Precisions whose quantiser looks at calibration batches.
    calibrated: tuple[str, ...] = ()


class Backend(Protocol):
    """The names that a backend file must define. It may also define `TRAITS`."""

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
    return cast(Backend, honed.discovery.load(_ROOM, name, Backend, _misdeclared_traits))


def traits(name: str) -> Traits:
    """The traits of a backend."""
    declared: Traits = getattr(load_backend(name), "TRAITS", Traits())
    return declared


def memory_words(name: str) -> tuple[str, ...]:
    """Phrases by which a worker of this backend knows an error as a failed allocation.

    The worker that prepares a Case runs the reference backend, so its phrases count as well.
    """
    reference = load_backend(name).REFERENCE
    return (*_ANY_MEMORY_WORDS, *traits(name).memory_words, *traits(reference).memory_words)


def comparable_backends(name: str) -> tuple[str, ...]:
    """The backends whose outputs are compared with the same reference as those of `name`."""
    reference = load_backend(name).REFERENCE
    working = survey_backends().working.items()
    return tuple(other for other, backend in working if reference == backend.REFERENCE)


def engine_packages() -> tuple[str, ...]:
    """The packages of every backend that is not hidden: a record keeps their versions."""
    listed = survey_backends().listed.items()
    return tuple(
        {
            package: None
            for name, backend in listed
            for package in (*backend.versions(), *traits(name).packages)
        }
    )


def _misdeclared_traits(module: ModuleType) -> str:
    """What is wrong with how the file declares its traits; empty if nothing is.

    A misspelt field of `Traits(...)` is a TypeError already. A misspelt `TRAITS`, or a trait as a
    name of its own, would change nothing without this check.
    """
    trait_names = ("TRAITS", *(trait.name.upper() for trait in fields(Traits)))
    required = {*Backend.__annotations__}
    for name, value in vars(module).items():
        if name == "TRAITS":
            if not isinstance(value, Traits):
                return f"defines TRAITS as {type(value).__name__}, not as Traits(...)"
        elif isinstance(value, Traits):
            return f"calls its traits {name}: the name is TRAITS"
        elif name.isupper() and not name.startswith("_") and name not in required:
            near = difflib.get_close_matches(name, trait_names, n=1, cutoff=0.85)
            if near:
                trait = near[0].lower()
                wanted = "TRAITS" if trait == "traits" else f"TRAITS = Traits({trait}=...)"
                return f"defines {name}, which nothing reads: use {wanted}"
    return ""


def backend_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def survey_backends() -> honed.discovery.Survey:
    """Every backend file: those that work, and what is wrong with the others."""
    return honed.discovery.survey(_ROOM, Backend, _misdeclared_traits)


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
