"""The building job: export and quantise once per content, in a process of its own.

An exporter takes several times the model's memory and can crash; kept apart, it touches neither
the measured process nor its memory figures.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.backends.base import Calibration, LoadRequest, load_backend, refuse_step
from honed.errors import HonedError, OutOfMemoryError
from honed.phase import OnPhase, Phase
from honed.run.job import Job
from honed.run.needs import load_calibration
from honed.workers import failure
from honed.workers.channel import Failed
from honed.workers.follow import follow
from honed.workers.process import Desk
from honed.workers.start import Launch, running
from honed.workloads.base import load_workload

_KIND = "export"


class BuildError(HonedError):
    """An export that failed."""

    status = "crashed"


@dataclass(frozen=True, slots=True)
class Built:
    """The folder of an artifact; None where the engine loads the checkpoint itself."""

    folder: Path | None


def request_of(job: Job) -> LoadRequest:
    """What a backend is asked for; the same in the build's process and in the measured one."""
    step = load_workload(job.case.workload).STEP
    refuse_step(job.case, step)
    request = LoadRequest(job.case, job.prepared.model, job.seat.threads, step=step)
    batches = load_calibration(job.prepared)
    if batches is None:
        return request
    return replace(request, calibration=Calibration(batches.batches, batches.source))


def artifact_for(job: Job, request: LoadRequest, on_phase: OnPhase) -> tuple[Path | None, float]:
    """The backend's artifact for this request, built first if need be, and the seconds it took. A
    delivered model brings its artifact."""
    if request.model is not None and request.model.engine_files is not None:
        return request.model.engine_files.folder, 0.0
    about = _about(request)
    if about is None:
        return None, 0.0
    folder = artifacts.find(_KIND, artifacts.content_key(about))
    if folder is not None:
        return folder, 0.0
    on_phase(Phase.EXPORTING)
    began = time.perf_counter()
    return _build_apart(job), time.perf_counter() - began


def work(job: Job, _: Desk) -> Built:
    """Build the artifact; siblings that ask for the same one wait on its lock."""
    request = request_of(job)
    about = _about(request)
    if about is None:
        return Built(None)
    backend = load_backend(job.case.backend)
    return Built(artifacts.make(_KIND, about, lambda folder: backend.build(request, folder)))


def _about(request: LoadRequest) -> Mapping[str, Any] | None:
    about = load_backend(request.case.backend).artifact(request)
    return None if about is None else {"backend": request.case.backend, **about}


def _build_apart(job: Job) -> Path:
    """Run the build job in a child of this worker; its failure becomes this worker's.

    There is no deadline: the parent ends this worker, and the child with it.
    """
    launch = Launch("honed.run.worker", os.environ, job.seat, nested=True)
    with running([launch]) as (builder,):
        builder.ask(replace(job, kind="build"), Built)
        for _ in follow([builder], math.inf, lambda: None):
            pass
        if builder.outcome is None and builder.exit_code == -signal.SIGKILL:
            raise OutOfMemoryError(
                "the export was killed (SIGKILL), most likely for memory",
                "give the machine more memory, or export elsewhere and share the cache",
            )
        if builder.outcome is None:
            raise BuildError(f"the export died with exit code {builder.exit_code}")
        if isinstance(builder.outcome, Failed):
            raise failure.as_error(builder.outcome, "the export failed")
        built: Built = builder.outcome.answer
    assert built.folder is not None
    return built.folder
