"""What records of this machine tell about a deployment: the engine alone, and the same model.

The engine alone is the record of a tiny Case. It is measured once and kept in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.backends.base import engine_packages
from honed.case import Case
from honed.errors import HonedError, StoreError
from honed.knobs import owner_of
from honed.machine import facts
from honed.plan.deployment import Engine
from honed.record import Memory, Record
from honed.run.lab import LocalLab
from honed.store import open_store

# A BERT of 32 units: its weights and tensors take less than 1 MiB in every engine.
_TINY = {"model": "tiny-bert", "batch_size": 1, "sequence_length": 16}
_EFFORT = {"duration_s": 0.1, "warmup_s": 0.0, "min_samples": 3}
# Settings that decide what is in a process beside its model.
_KEPT = ("backend", "precision", "threads", "python", "memory_budget")


@dataclass(frozen=True, slots=True)
class Bench:
    """The records of a store, and how a Case is measured where a record is missing; None where
    nothing may run."""

    records: Callable[[Mapping[str, Any]], Iterable[Record]]
    measure: Callable[[Case], Record] | None


class NoEngineRecordError(HonedError):
    """The engine alone has not been measured, or could not be."""


def engine_case(case: Case) -> Case:
    """The Case that measures the engine of `case` without a model."""
    knobs = {key: value for key, value in case.knobs.items() if owner_of(key) != "model"}
    kept = {key: case.get(key) for key in _KEPT}
    return Case(**_TINY, **_EFFORT, **kept, oversubscribe=True, knobs=knobs)  # type: ignore[arg-type]


def engine(case: Case, bench: Bench) -> Engine:
    """The engine alone: by the newest record of this machine, or measured now."""
    wanted = engine_case(case)
    found = [r for r in _of_this_machine(wanted, bench) if r.to_case() == wanted]
    if not found and bench.measure is None:
        raise NoEngineRecordError(
            f"{case.backend} in {case.precision} has not been measured without a model",
            "leave out baseline=stored: it takes a few seconds, once",
        )
    record = found[-1] if found else _measured(wanted, bench)
    memory = record.memory
    assert memory is not None
    calling = memory.rss_anon_peak_bytes or 0
    loading = memory.load_anon_peak_bytes or 0
    return Engine(loading, calling, memory.rss_file_peak_bytes or 0, record.id)


def _measured(wanted: Case, bench: Bench) -> Record:
    assert bench.measure is not None
    record = bench.measure(wanted)
    if record.error is not None and not _is_measured(record):
        raise NoEngineRecordError(
            f"{wanted.backend} could not be measured without a model: {record.error.message}",
            record.error.hint,
        )
    if not _is_measured(record):
        raise NoEngineRecordError(
            "the peak of a process cannot be measured here: /proc/self/clear_refs is not writable",
            "run on the machine itself, or in a container that may write it",
        )
    return record


def same_model(case: Case, bench: Bench) -> Record | None:
    """The record of this machine with the same model, engine and settings whose shape is nearest;
    None if there is none."""

    def distance(record: Record) -> float:
        other = record.to_case()
        tokens = other.batch_size * other.sequence_length
        return abs(tokens - case.batch_size * case.sequence_length)

    near = [
        record for record in _of_this_machine(case, bench)
        if _differs_in_shape_alone(record.to_case(), case)
    ]  # fmt: skip
    return min(reversed(near), key=distance, default=None)


def _differs_in_shape_alone(other: Case, case: Case) -> bool:
    keys = ("model", "task", "pooling", "seed", "workload", "inputs", *_KEPT)
    same = all(other.get(key) == case.get(key) for key in keys)
    return same and dict(other.knobs) == dict(case.knobs) and other.lengths is None


def peak_bytes(memory: Memory) -> int:
    """The most private memory of one process, while it loaded or while it computed."""
    peaks = (memory.rss_anon_peak_bytes, memory.load_anon_peak_bytes)
    return max((peak for peak in peaks if peak is not None), default=0)


def _is_measured(record: Record) -> bool:
    return record.memory is not None and bool(record.memory.rss_anon_peak_bytes)


def _of_this_machine(case: Case, bench: Bench) -> Sequence[Record]:
    """The records of the Case's model and engine that hold memory, with this hardware and these
    versions of the engines; the newest last."""
    here = facts.machine_facts(packages=engine_packages())
    hardware, packages = facts.fingerprint(here), here["packages"]
    alike = {key: case.get(key) for key in ("model", "backend", "precision")}
    return [
        record for record in bench.records(alike)
        if _is_measured(record)
        and facts.fingerprint(record.machine) == hardware
        and record.machine.get("packages") == packages
    ]  # fmt: skip


def local_bench(store: str | None, *, measures: bool) -> Bench:
    """The records of the store at this URL or of the default one; a missing engine is measured on
    this machine, if that is allowed."""

    def records(alike: Mapping[str, Any]) -> Iterable[Record]:
        try:
            with open_store(store, make=False) as opened:
                return opened.list(limit=None, where=alike)
        except StoreError:  # nothing has been stored yet
            return ()

    def measure(case: Case) -> Record:
        with open_store(store) as opened:
            return LocalLab(opened).measure(case)

    return Bench(records, measure if measures else None)
