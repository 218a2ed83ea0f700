"""The measuring job: load the engine, then run the passes of the Case one after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from honed.backends.base import load_backend
from honed.instruments import memory
from honed.models.part import part
from honed.phase import Phase
from honed.run import build
from honed.run.job import Job
from honed.run.needs import load_inputs
from honed.run.passes.base import Loaded, LoadFacts, Measured, passes_of
from honed.run.warmup import Warmup
from honed.workers.process import Desk
from honed.workloads.base import exact_warmup

T = TypeVar("T")


def work(job: Job, desk: Desk) -> Measured:
    """Everything that one instance measures."""
    passes = passes_of(job.case)
    facts, loaded = load(job, desk)
    try:
        return Measured(facts, {name: each.work(loaded) for name, each in passes.items()})
    finally:
        loaded.step.close()


def load(job: Job, desk: Desk) -> tuple[LoadFacts, Loaded]:
    """The engine, loaded and called once, and what that cost. The caller closes the step."""
    case = job.case
    desk.on_phase(Phase.IMPORTING)
    backend = load_backend(case.backend)
    import_s, _ = _timed(backend.start)
    request = build.request_of(job)
    artifact, build_s = build.artifact_for(job, request, desk.on_phase)
    desk.on_phase(Phase.LOADING)
    baseline = memory.status()
    with memory.ResidentPeak() as peak:
        load_s, step = _timed(lambda: backend.load(request, artifact))
    try:
        inputs = load_inputs(job.prepared)
        feeds = [step.prepare(batch) for batch in inputs.batches]
        desk.on_phase(Phase.CHECKING)
        warmup = Warmup(step, feeds, inputs, case.warmup_s, exact_warmup(case))
        first_call_s = warmup.first_call_s()
        facts = LoadFacts(import_s, build_s, load_s, first_call_s, step.weights_bytes,
                          baseline.rss_bytes, peak.total_bytes, desk.refused,
                          peak.anon_bytes)  # fmt: skip
    except BaseException:
        step.close()
        raise
    timed = part(inputs, case.batches)
    return facts, Loaded(job, backend, step, inputs, feeds, warmup, desk.on_phase, timed)


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result
