"""The building job: export and quantise once per content, in a process of its own.

An exporter takes several times the model's memory and can crash; kept apart, it touches neither
the measured process nor its memory figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.backends.base import Calibration, LoadRequest, load_backend
from honed.errors import HonedError, OutOfMemoryError
from honed.models.inputs import InputSet
from honed.phase import Phase
from honed.run.job import Job

Tell = Callable[..., None]
_KIND = "export"


class BuildError(HonedError):
    """An export that failed."""

    status = "crashed"


def request_of(job: Job) -> LoadRequest:
    """What a backend is asked for; the same in the build's process and in the measured one."""
    assert job.checkpoint is not None
    request = LoadRequest(job.case, job.checkpoint, job.seat.threads)
    if job.calibration is None:
        return request
    found = InputSet.load(job.calibration)
    return replace(request, calibration=Calibration(found.batches, found.source))


def artifact_for(job: Job, request: LoadRequest, tell: Tell) -> tuple[Path | None, float]:
    """The backend's artifact for this request, built first if need be, and the seconds it took."""
    about = _about(request)
    if about is None:
        return None, 0.0
    found = artifacts.find(_KIND, artifacts.content_key(about))
    if found is not None:
        return found, 0.0
    tell("phase", phase=Phase.EXPORTING)
    began = time.perf_counter()
    _in_own_process(job)
    built = artifacts.find(_KIND, artifacts.content_key(about))
    if built is None:
        raise BuildError("the export ended without a result", "look at the log: honed show")
    return built, time.perf_counter() - began


def work(job: Job, _tell: Tell) -> dict[str, Any]:
    """Build the artifact; siblings that ask for the same one wait on its lock."""
    request = request_of(job)
    about = _about(request)
    assert about is not None
    backend = load_backend(job.case.backend)
    path = artifacts.make(_KIND, about, lambda folder: backend.build(request, folder))
    return {"path": str(path)}


def _about(request: LoadRequest) -> dict[str, Any] | None:
    backend = load_backend(request.case.backend)
    about = backend.artifact(request)
    return None if about is None else {"backend": request.case.backend, **about}


def _in_own_process(job: Job) -> None:
    """Run the build job as a child of this worker; its failure becomes this worker's."""
    import json

    reader, writer = os.pipe()
    child = replace(job, kind="build", result_fd=writer, parent_pid=os.getpid(), in_child={})
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "honed.run.worker"],
            stdin=subprocess.PIPE,
            pass_fds=(writer,),
        )
    finally:
        os.close(writer)
    process.communicate(child.dump().encode())
    with os.fdopen(reader, "rb") as pipe:
        events = [json.loads(line) for line in pipe]
    for event in events:
        if event["event"] == "failed":
            raise _failed(event)
    if process.returncode:
        raise _died(process.returncode)


def _failed(event: dict[str, Any]) -> HonedError:
    error = HonedError(f"the export failed: {event['message']}", event["hint"])
    error.status = event["status"]
    return error


def _died(code: int) -> HonedError:
    if code == -9:
        return OutOfMemoryError(
            "the export was killed (SIGKILL), most likely for memory",
            "give the machine more memory, or export elsewhere and share the cache",
        )
    return BuildError(f"the export died with exit code {code}")
