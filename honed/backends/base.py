"""The protocol of a backend file, the Step that it returns, and the traits that it may declare.

A backend is one file (or folder) in this room. It defines the names of the `Backend` protocol
and, where the defaults do not fit, `TRAITS`. It imports its framework only inside `start`, `load`
and `build`, and it imports no workload and no other backend.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import honed.discovery
from honed.backends._delivery import Delivery as Delivery
from honed.backends._observed import LeastTime as LeastTime
from honed.backends._observed import MeasuredMemory as MeasuredMemory
from honed.backends._observed import Observed
from honed.backends._observed import Residual as Residual
from honed.backends._observed import SelfCheck as SelfCheck
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Value
from honed.knobs import owner_of
from honed.models.checkpoint import Checkpoint
from honed.step import StepKind

_ROOM = "honed.backends"

Batch = Mapping[str, Any]  # name -> int64 numpy array [batch, length]
Outputs = Mapping[str, Any]  # name -> float numpy array, first axis = batch


@dataclass(frozen=True, slots=True)
class Calibration:
    """Batches that a quantiser may look at. Fidelity is never judged on them."""

    batches: tuple[Batch, ...]
    source: str = "unknown source"

    @property
    def key(self) -> str:
        """A hash of the batches, for the content of an artifact that depends on them."""
        digest = hashlib.sha256()
        for batch in self.batches:
            for name in sorted(batch):
                digest.update(f"{name}{batch[name].shape}".encode() + batch[name].tobytes())
        return digest.hexdigest()[:20]

    def __str__(self) -> str:
        """The value of "calibration" in what a quantised step reads back."""
        return f"{len(self.batches)} batches: {self.source}"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What a backend needs to load a step: the Case, and the checkpoint with "auto" resolved.

    `model` is None for a kernel alone. `threads` is None where the engine chooses for itself.
    `calibration` is given for the precisions that the backend's traits name as calibrated. `step`
    is one of the kinds that the traits name.
    """

    case: Case
    model: Checkpoint | None
    threads: int | None
    calibration: Calibration | None = None
    step: StepKind = StepKind.FORWARD

    @property
    def checkpoint(self) -> Checkpoint:
        """The model of a step that has one."""
        assert self.model is not None, f"a {self.step} step has no model"
        return self.model

    @property
    def calibration_key(self) -> str:
        """The hash of the calibration batches; empty without any."""
        return "" if self.calibration is None else self.calibration.key

    @property
    def calibration_batches(self) -> tuple[Batch, ...]:
        """The calibration batches, or batches of random ids if none were given."""
        if self.calibration is not None:
            return self.calibration.batches
        from honed.models.calibration import random_calibration

        return random_calibration(self.checkpoint).batches

    def read_back_calibration(self, *, used: bool) -> str | None:
        """What a step reads back as "calibration"; None if its quantiser used no batches."""
        return str(self.calibration) if used and self.calibration is not None else None


class Step(Observed, Protocol):
    """A loaded model that can be called. Only `run` is timed. A class of a backend that inherits
    from this one need not define what its engine cannot report."""

    weights_bytes: int

    def prepare(self, batch: Batch) -> Any:
        """Convert a batch to what this engine takes. Done once, outside the timing."""

    def run(self, feed: Any) -> Any:
        """One call: a forward pass, a training step or a kernel. It returns when the outputs are
        complete (on CUDA: synchronised). Training steps and kernels return `honed.step.Phased`."""

    def outputs(self, raw: Any) -> Outputs:
        """What `run` returned, as numpy float arrays under the task's output names."""

    def tensor_peak_bytes(self, feed: Any) -> int | None:  # noqa: ARG002
        """The peak of one call by the engine's own allocator: weights, inputs and all tensors
        alive at once. None if the engine cannot report it."""
        return None

    def device_memory(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        """`allocated_peak_bytes` and `reserved_peak_bytes` of one call on a GPU; else empty."""
        return {}

    def read_back(self) -> Mapping[str, Value | None]:
        """The settings in force, by the engine's own report: `threads`, `precision`, and each knob
        by its full key.

        `skips_padding` is True if the engine computes only the real tokens of a batch.

        `caller` is "waits" if the engine computes on its own threads while the calling thread only
        waits; the calling thread is then not counted as running.

        `turns` is True if the submitting threads compute too while as many pool threads wait. More
        threads then run over a call than run at once, so the proof counts those that are runnable
        at the same time.
        """

    def close(self) -> None:
        """Release the weights."""


Deliver = Callable[[LoadRequest, Path | None, Path], Delivery]


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
    # Words by which its int8 gives a text one output whatever else its batch holds; empty if its
    # int8 always does, or never.
    neighbour_free: str = ""
    # It keeps to memory_budget, or says that nothing does.
    keeps_budget: bool = False
    # It computes in another process, at an address that the Case gives.
    remote: bool = False
    # The kinds of steps that it can load.
    steps: tuple[StepKind, ...] = (StepKind.FORWARD,)


class Backend(Protocol):
    """The names that a backend file must define. It may also define:

    `TRAITS`;
    `deliver(request, artifact, folder) -> Delivery`, which writes the model files into `folder`
    for machines without honed (`load(request, folder)` has to read the same files);
    `check_delivery(case)`, which raises UnsupportedError for a setting that it does not deliver,
    and imports no framework;
    `footprint(case, model) -> Sequence[Portion]`, which tells `honed plan` how a process holds a
    model (`_footprint.py`)."""

    KNOBS: tuple[Knob, ...]
    PRECISIONS: tuple[str, ...]  # on a CPU with the instructions for them
    HELP: str  # one line
    REFERENCE: str  # the backend whose fp32 outputs are the truth for this one: "torch"
    EXTRA: str  # the extra that installs it: "onnxruntime" in honed[onnxruntime]

    def available(self) -> Availability:
        """Whether the engine is installed, or how to install it. Imports nothing heavy."""

    def versions(self) -> Mapping[str, str]:
        """Package name -> version, for every package that shapes the artifact or the result."""

    def check(self, case: Case) -> None:
        """Raise UnsupportedError for a combination that this engine cannot do. Imports nothing."""

    def start(self) -> None:
        """Import the framework, so that its import is not counted as loading the model."""

    def artifact(self, request: LoadRequest) -> Mapping[str, Any] | None:
        """Everything that decides the content of the exported artifact; None if the engine loads
        the checkpoint itself."""

    def build(self, request: LoadRequest, folder: Path) -> None:
        """Export into `folder`, which is empty and private. Runs in a process of its own."""

    def load(self, request: LoadRequest, artifact: Path | None) -> Step:
        """A Step that is ready to be called. `artifact` is the folder that `build` filled."""


def load_backend(name: str) -> Backend:
    """The backend file of that name; UsageError with the nearest names otherwise."""
    return cast(Backend, honed.discovery.load(_ROOM, name, Backend, _misdeclared_traits))


def traits(name: str) -> Traits:
    """The traits of a backend."""
    declared: Traits = getattr(load_backend(name), "TRAITS", Traits())
    return declared


def deliverer(case: Case) -> Deliver:
    """The function that writes the Case's model files; UnsupportedError if its engine has none, or
    none for this setting. Loads nothing."""
    backend = load_backend(case.backend)
    function: Deliver | None = getattr(backend, "deliver", None)
    if function is None:
        able = [n for n, b in survey_backends().listed.items() if hasattr(b, "deliver")]
        raise UnsupportedError(
            f"honed does not write the files of {case.backend} yet", f"backend={', '.join(able)}"
        )
    if (check := getattr(backend, "check_delivery", None)) is not None:
        check(case)
    return function


def memory_words(name: str) -> tuple[str, ...]:
    """Phrases by which a worker of this backend knows an error as a failed allocation.

    The worker that prepares a Case runs the reference backend, so its phrases count as well.
    """
    reference = load_backend(name).REFERENCE
    return (*_ANY_MEMORY_WORDS, *traits(name).memory_words, *traits(reference).memory_words)


def is_reference(case: Case) -> bool:
    """Whether the Case computes as the reference does, so that its outputs are the truth."""
    plain = case.precision == "fp32" and not any(owner_of(knob) for knob in case.knobs)
    return plain and case.backend == load_backend(case.backend).REFERENCE


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
    """Whether every module of `modules` (module -> package) can be imported; else the command that
    installs the missing packages."""
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


def refuse_step(case: Case, kind: StepKind) -> None:
    """Raise UnsupportedError if the Case's backend cannot load the kind of step that the Case's
    workload needs."""
    if kind in traits(case.backend).steps:
        return
    able = [name for name in survey_backends().listed if kind in traits(name).steps]
    hint = f"backend={','.join(able)}" if able else f"choose another workload than {case.workload}"
    raise UnsupportedError(f"{case.backend} has no {kind} step", hint)


def refuse_budget(case: Case) -> None:
    """Raise UnsupportedError if the Case has a memory budget that its backend does not heed."""
    if case.memory_budget is None or traits(case.backend).keeps_budget:
        return
    able = [name for name in survey_backends().listed if traits(name).keeps_budget]
    raise UnsupportedError(
        f"{case.backend} keeps to no memory budget", f"backend={','.join(able)}"
    )


def refuse_gpu(case: Case, engine: str) -> None:
    """Raise UnsupportedError for a device other than the CPU."""
    if case.device != "cpu":
        raise UnsupportedError(
            f"honed runs {engine} on CPUs only", "device=cpu, or backend=torch for a GPU"
        )


def refuse_values(case: Case, knobs: Sequence[Knob]) -> None:
    """Raise UnsupportedError for a knob value that this machine does not offer."""
    for knob in knobs:
        value = case.get(knob.name)
        if value is None or knob.available_value is None:
            continue
        if not (availability := knob.available_value(value)).ok:
            raise UnsupportedError(f"{knob.name}={value}: {availability.why}", availability.how)


def precision_of_most(products: Iterable[str]) -> str | None:
    """The precision of most matrix products, given that of each. None if most run in fp32 but a
    narrower product ran too."""
    counts = Counter(products)
    if not counts:
        return None
    most = counts.most_common(1)[0][0]
    return None if most == "fp32" and len(counts) > 1 else most


def about_model(request: LoadRequest, artifact_format: int) -> dict[str, Any]:
    """The part of an artifact's content that every exporter shares. An exporter raises
    `artifact_format` when it writes the same model in another way."""
    model = request.checkpoint
    # Code of the model's own only where it is true, so that other artifacts keep their names.
    own_code = {"own_code": True} if model.own_code else {}
    return {"format": artifact_format, "checkpoint": model.key, "task": model.task,
            "pooling": model.pooling, **own_code}  # fmt: skip
