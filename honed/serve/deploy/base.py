"""What every kind of deployment file is written from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import honed
import honed.discovery
from honed import sizes
from honed.backends.base import load_backend
from honed.case import CORE_FIELDS, Case
from honed.errors import UsageError
from honed.machine import limits
from honed.record import Record
from honed.serve.settings import ServeSettings
from honed.values import as_override

_ROOM = "honed.serve.deploy"
_MODEL = "/model"  # where the checkpoint folder is mounted in a container
_HEADROOM = 1.25  # over the memory that was measured: other batches, the allocator's waste
_FRONT_BYTES = 256 * 2**20  # the front, with its queue
_START_S = 120  # to load a model from a cold disk


@dataclass(frozen=True, slots=True)
class Deployment:
    """A server that is to be deployed.

    `words` are those of `honed serve`; `model` is a folder, which a container has at /model.
    `memory_bytes` is None where no record tells how much it takes.
    """

    words: tuple[str, ...]
    model: str
    extra: str
    cores: int
    port: int
    drain_s: int
    delay_s: int
    memory_bytes: int | None
    version: str = honed.__version__
    start_s: int = _START_S

    def command(self, *, model: str, host: str) -> tuple[str, ...]:
        """The words of `honed serve` with this model and address."""
        return ("honed", "serve", f"model={model}", *self.words, f"host={host}",
                f"port={self.port}")  # fmt: skip

    @property
    def in_container(self) -> tuple[str, ...]:
        return self.command(model=_MODEL, host="0.0.0.0")  # noqa: S104 - a container's own network

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
    defaults = {field.name: field.default for field in CORE_FIELDS}
    changed = {
        key: value
        for key, value in case.to_json().items()
        if value is not None and defaults.get(key) != value and key not in _NOT_SERVED
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
    )


# Keys of a Case that only say how it is measured, or where.
_NOT_SERVED = frozenset(
    ("model", "duration_s", "min_samples", "warmup_s", "memory", "passes", "eval", "eval_metric",
     "max_accuracy_drop", "lengths", "inputs", "inputs_field", "batch_size", "total_batch",
     "workload", "python", "memory_limit", "allow_system_changes", "oversubscribe")
)  # fmt: skip
