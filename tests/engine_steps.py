"""Engines with a tiny model, loaded once in a test run for the tests that only read them.

A test that changes a step (hooks in its module, a patched exporter) opens a step of its own.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed import artifacts
from honed.backends.base import Calibration, LoadRequest, Step, load_backend, traits
from honed.case import Case
from honed.errors import HonedError
from honed.machine.facts import machine_facts
from honed.machine.isa import native_by
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.phase import ignore_phase
from honed.record import Record
from honed.run import build, prepare
from honed.run.job import Job
from honed.run.parent import measure
from honed.workers.process import Desk
from honed.workers.seat import seats

_MOST_AT_ONCE = 128  # steps; the oldest is closed first. The whole suite loads about 90.


@dataclass(frozen=True)
class Loaded:
    request: LoadRequest
    step: Step


_loaded: OrderedDict[str, Loaded] = OrderedDict()


def precisions_here(backend: str) -> tuple[str, ...]:
    """The precisions of an engine on this processor. OpenVINO refuses bf16 where no instruction
    multiplies it; the other engines emulate what the processor does not have."""
    every = load_backend(backend).PRECISIONS
    if backend == "openvino" and native_by("bf16", machine_facts().get("flags", ())) is None:
        return tuple(p for p in every if p != "bf16")
    return tuple(every)


def checkpoint(backend: str, task: str = "auto") -> Checkpoint:
    """A model that the backend's reference can run."""
    model = "tiny" if load_backend(backend).REFERENCE == "fake" else "tiny-bert"
    return materialise(ModelRequest(model, task=task))


def request(backend: str, **changes: Any) -> LoadRequest:
    """One thread; calibrated where the precision is. `changes` are keys of the Case."""
    case = Case(model="tiny", backend=backend).replace(**changes)
    model = checkpoint(backend, case.task)
    ask = LoadRequest(case, model, 1)
    if case.precision not in traits(backend).calibrated:
        return ask
    batches = random_inputs(model, 1, 24, seed=9, batches=3).batches
    return LoadRequest(case, model, 1, Calibration(tuple(batches), "the test"))


def artifact(ask: LoadRequest) -> Path | None:
    """The artifact's folder, built once in a test run; None if the engine needs none."""
    backend = load_backend(ask.case.backend)
    about = backend.artifact(ask)
    if about is None:
        return None
    content = {"backend": ask.case.backend, **about}
    return artifacts.make("export", content, lambda empty: backend.build(ask, empty))


def opened(ask: LoadRequest) -> Step:
    """A step of the test's own."""
    backend = load_backend(ask.case.backend)
    backend.start()
    return backend.load(ask, artifact(ask))


def loaded(backend: str, **changes: Any) -> Loaded:
    """The step for these settings, shared by all tests that ask for them."""
    ask = request(backend, **changes)
    key = ask.case.id
    if key not in _loaded:
        _loaded[key] = Loaded(ask, opened(ask))
        while len(_loaded) > _MOST_AT_ONCE:
            _loaded.popitem(last=False)[1].step.close()
    _loaded.move_to_end(key)
    return _loaded[key]


def close_all() -> None:
    while _loaded:
        _loaded.popitem()[1].step.close()


def prepare_here(case: Case) -> None:
    """Make the model, the inputs and the reference of a Case in this process.

    A measurement then finds them, and needs no process of its own that imports torch for them.
    """
    prepare.work(Job("prepare", case), Desk(ignore_phase))


def measure_here(case: Case) -> Record:
    """The Record of a Case, for which this process prepared and exported what it could.

    What cannot be prepared is refused again, as a Record, by the measurement.
    """
    with contextlib.suppress(HonedError):
        prepare_here(case)
        if (prepared := prepare.ready(case)) is not None:
            build.work(Job("build", case, seats(case)[0], prepared), Desk(ignore_phase))
    return measure(case)


def outputs(step: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of one call."""
    return dict(step.outputs(step.run(step.prepare(batch))))


def reference(backend: str, batch: Mapping[str, Any], task: str = "auto") -> dict[str, Any]:
    """What the reference of a backend returns for a batch.

    Kept on disk, so that a process that a test starts reads it instead of importing torch.
    """
    name, model = load_backend(backend).REFERENCE, checkpoint(backend, task)
    about = {"by": name, "model": model.key, "batch": Calibration((batch,)).key}

    def compute(folder: Path) -> None:
        np.savez(folder / "outputs.npz", **outputs(loaded(name, task=task).step, batch))

    folder = artifacts.make("test-reference", about, compute)
    with np.load(folder / "outputs.npz") as stored:
        return dict(stored)
