"""Make what a Case needs, once: its model, then the needs of its workload's passes.

`ready` runs in the parent and finds what is cached, without importing any framework; `work` is
the job of a worker that makes what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.case import Case
from honed.errors import UnsupportedError
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import check_length
from honed.models.obtain import locate, materialise
from honed.phase import Phase
from honed.run.job import Job, Prepared
from honed.run.needs import CALIBRATION, INPUTS, Need
from honed.run.passes.base import passes_of
from honed.workers.process import Desk
from honed.workloads.base import load_workload

_Obtain = Callable[[Need, Mapping[str, Any], Prepared], Path | None]


def needs_of(case: Case) -> tuple[Need, ...]:
    """Batches for the step, then the needs of each pass, each once."""
    of_passes = [need for each in passes_of(case).values() for need in each.NEEDS]
    return tuple(dict.fromkeys([INPUTS, *of_passes, CALIBRATION]))


def ready(case: Case) -> Prepared | None:
    """What is cached already; None when something has to be made first."""

    def find(need: Need, about: Mapping[str, Any], _: Prepared) -> Path | None:
        return artifacts.find(need.kind, artifacts.content_key(about))

    prepared = Prepared()
    if load_workload(case.workload).STEP.needs_checkpoint:
        checkpoint = locate(ModelRequest.from_case(case))
        if checkpoint is None:
            return None
        _check(case, checkpoint)
        prepared = Prepared(checkpoint)
    return _with_needs(case, prepared, find)


def work(job: Job, desk: Desk) -> Prepared:
    """Make the model and the needs as far as they are missing."""
    case, prepared = job.case, Prepared()

    def make(need: Need, about: Mapping[str, Any], so_far: Prepared) -> Path:
        desk.on_phase(need.phase)
        return artifacts.make(need.kind, about, lambda folder: need.make(case, so_far, folder))

    if load_workload(case.workload).STEP.needs_checkpoint:
        desk.on_phase(Phase.MAKING_MODEL)
        request = ModelRequest.from_case(case)
        checkpoint = locate(request) or materialise(request)
        _check(case, checkpoint)
        prepared = Prepared(checkpoint)
    complete = _with_needs(case, prepared, make)
    assert complete is not None
    return complete


def _check(case: Case, checkpoint: Checkpoint) -> None:
    """Raise ModelError for a length that the model does not have, and UnsupportedError for another
    engine or precision than the files of a delivered model are for."""
    check_length(checkpoint, case.sequence_length)
    files = checkpoint.engine_files
    if files is None or (files.backend, files.precision) == (case.backend, case.precision):
        return
    raise UnsupportedError(
        f"{case.model} holds files for {files.backend} in {files.precision}, which "
        f"{case.backend} in {case.precision} cannot run",
        f"backend={files.backend} precision={files.precision}, or the checkpoint: "
        "model=CHECKPOINT",
    )


def _with_needs(case: Case, prepared: Prepared, obtain: _Obtain) -> Prepared | None:
    for need in needs_of(case):
        about = need.about(case, prepared)
        if about is not None:
            folder = obtain(need, about, prepared)
            if folder is None:
                return None
            prepared = prepared.adding(need.kind, folder)
    return prepared
