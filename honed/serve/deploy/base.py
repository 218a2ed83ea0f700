"""What every kind of deployment file is written from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import honed
import honed.discovery
from honed import sizes
from honed.backends.base import load_backend, traits
from honed.case import CORE_FIELDS, Case
from honed.errors import UsageError
from honed.machine import limits
from honed.record import Record
from honed.serve.settings import ServeSettings
from honed.values import as_override

_ROOM = "honed.serve.deploy"
_MODEL = "/model"  # where the checkpoint folder is mounted in a container
_INPUTS = "/inputs"  # and the file of texts below this folder
_HEADROOM = 1.25  # over the memory that was measured: other batches, the allocator's waste
_FRONT_BYTES = 256 * 2**20  # the front, with its queue
_START_S = 120  # to load a model from a cold disk


@dataclass(frozen=True, slots=True)
class Deployment:
    """A server that is to be deployed.

    `words` are those of `honed serve`; `model` is a folder, which a container has at /model.
    `inputs` is the file of texts that a quantiser is calibrated with, which a container has below
    /inputs; None where nothing is calibrated, or no file was given. `memory_bytes` is None where
    no record tells how much it takes.
    """

    words: tuple[str, ...]
    model: str
    extra: str
    cores: int
    port: int
    drain_s: int
    delay_s: int
    memory_bytes: int | None
    inputs: str | None = None
    version: str = honed.__version__
    start_s: int = _START_S

    @property
    def on_host(self) -> tuple[str, ...]:
        """The words of a server on this machine, with its paths."""
        return self._command(self.model, self.inputs, "127.0.0.1")

    @property
    def in_container(self) -> tuple[str, ...]:
        """The words of a server in a container, which has what `mounts` says."""
        inputs = None if self.inputs is None else self._inputs_in_container
        return self._command(_MODEL, inputs, "0.0.0.0")  # noqa: S104 - a container's own network

    @property
    def mounts(self) -> Mapping[str, str]:
        """Where a container has the paths of the host, read-only."""
        mounts = {self.model: _MODEL}
        if self.inputs is not None:
            mounts[self.inputs] = self._inputs_in_container
        return mounts

    @property
    def _inputs_in_container(self) -> str:
        return f"{_INPUTS}/{Path(self.inputs or '').name}"

    def _command(self, model: str, inputs: str | None, host: str) -> tuple[str, ...]:
        given = () if inputs is None else (f"inputs={as_override(inputs)}",)
        return ("honed", "serve", f"model={as_override(model)}", *self.words, *given,
                f"host={host}", f"port={self.port}")  # fmt: skip

    @property
    def stop_s(self) -> int:
        """How long stopping may take before the process is killed."""
        return self.delay_s + self.drain_s + 10

    @property
    def memory_mib(self) -> int | None:
        return None if self.memory_bytes is None else math.ceil(self.memory_bytes / 2**20)


class Kind(Protocol):
    """The names that a module of this room defines."""

    HELP: str
    FILE: str  # the usual name of the file

    def write(self, of: Deployment) -> str:
        """The text of the file."""


def load_kind(name: str) -> Kind:
    return cast(Kind, honed.discovery.load(_ROOM, name, Kind))


def kind_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def deployment(
    case: Case, settings: ServeSettings, settings_words: Sequence[str], record: Record | None
) -> Deployment:
    """What to deploy for a Case; `record` tells the memory that the Case took."""
    inputs = _calibration_file(case)
    not_served = _NOT_SERVED if inputs is None else _NOT_SERVED - {"inputs_field"}
    defaults = {field.name: field.default for field in CORE_FIELDS}
    changed = {
        key: value
        for key, value in case.to_json().items()
        if value is not None and defaults.get(key) != value and key not in not_served
    }
    words = [f"{key}={as_override(value)}" for key, value in changed.items()]
    others = [w for w in settings_words if w.partition("=")[0] not in ("host", "port")]
    folder = Path(case.model).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"deployment files mount a checkpoint folder, and model={case.model} is a name",
            "save the checkpoint into a folder, and give model=./FOLDER",
        )
    if case.sizes is not None:
        cores = sum(sizes.parse(case.sizes))
    else:
        each = case.threads or max(1, limits.read().effective_count // case.instances)
        cores = each * case.instances
    memory = record.memory if record is not None else None
    measured = None
    if memory is not None and memory.pss_total_bytes is not None:
        peak = (memory.rss_peak_bytes or 0) * case.instances
        workers = 1 + settings.express / case.instances
        measured = int(max(memory.pss_total_bytes, peak) * workers * _HEADROOM) + _FRONT_BYTES
    return Deployment(
        words=(*words, *others),
        model=str(folder.resolve()),
        extra=load_backend(case.backend).EXTRA,
        cores=cores + settings.front_cores,
        port=settings.port or 8080,
        drain_s=math.ceil(settings.drain_s),
        delay_s=math.ceil(settings.drain_delay_s),
        memory_bytes=measured,
        inputs=inputs,
    )


def _calibration_file(case: Case) -> str | None:
    """The Case's file of texts, if its quantiser takes its ranges from texts."""
    if case.inputs is None or case.precision not in traits(case.backend).calibrated:
        return None
    file = Path(case.inputs).expanduser()
    if not file.is_file():
        raise UsageError(
            f"inputs={case.inputs} is no file, and int8 is calibrated with its texts",
            "inputs=./TEXTS.txt",
        )
    return str(file.resolve())


# Keys of a Case that only say how it is measured, or where. `inputs` is a field of its own.
_NOT_SERVED = frozenset(
    ("model", "duration_s", "min_samples", "warmup_s", "memory", "passes", "eval", "eval_metric",
     "max_accuracy_drop", "lengths", "inputs", "inputs_field", "batch_size", "total_batch",
     "workload", "python", "memory_limit", "allow_system_changes", "oversubscribe")
)  # fmt: skip
