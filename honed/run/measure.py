"""The measuring job: load, check, warm up, wait for the siblings, sample; then memory and proofs.

Time and memory are taken in separate passes: what watches memory slows what is timed.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from honed.backends.base import Backend, LoadRequest, Step, load_backend
from honed.instruments import fidelity, memory, threads
from honed.instruments.barrier import Barrier
from honed.machine import affinity, spawn
from honed.models.inputs import InputSet
from honed.models.knobs import padding
from honed.phase import Phase
from honed.run import build, evaluate
from honed.run.job import Job
from honed.run.warmup import Warmup
from honed.workloads.base import Sampling, Timeline, load_workload

Tell = Callable[..., None]


class Runs(Protocol):
    """The part of a Step that gives outputs."""

    def run(self, feed: Any) -> Any: ...

    def outputs(self, raw: Any) -> Any: ...


_PROOF_S = 0.25  # long enough for every pool thread to show up in the kernel's run times
_PROOF_TRIES = 3  # turns may overlap for once; threads that fight for cores always do
_MEMORY_CALLS = 3
_WHOLE_TURN = 64  # batches: as many as lengths are drawn for; files of texts may hold far more


def work(job: Job, tell: Tell) -> dict[str, Any]:
    """Everything one instance measures, as JSON."""
    assert job.inputs is not None
    tell("phase", phase=Phase.IMPORTING)
    backend = load_backend(job.case.backend)
    import_s, _ = _timed(backend.start)
    request = build.request_of(job)
    artifact, build_s = build.artifact_for(job, request, tell)
    tell("phase", phase=Phase.LOADING)
    step, facts = _load(backend, request, artifact)
    try:
        inputs = InputSet.load(job.inputs)
        feeds = [step.prepare(batch) for batch in inputs.batches]
        tell("phase", phase=Phase.CHECKING)
        first_call_s, _ = _timed(lambda: step.run(feeds[0]))
        warmup = Warmup(step, feeds, inputs, job.case.warmup_s)
        judged = _fidelity(job, warmup, feeds, inputs)
        timing = _time(job, step, (inputs, feeds), warmup, tell)
        tell("phase", phase=Phase.MEASURING_MEMORY)
        _wait(job, "timed")
        facts["memory"] |= _memory(job, step, feeds)
        _wait(job, "idle")
        facts["memory"]["pss_bytes"] = memory.pss_bytes()
        _wait(job, "counted")
        effective = _effective(job, backend, step, feeds)
        limit = job.case.sequence_length
        effective |= padding.read_back(inputs.batches, job.case.knobs, limit)
        said = _evaluated(job, step, tell)
    finally:
        step.close()
    return {
        **facts,
        **timing,
        "import_s": import_s,
        "build_s": build_s,
        "first_call_s": first_call_s,
        "fidelity": judged,
        "said": said,
        "effective": effective,
    }


def _evaluated(job: Job, step: Step, tell: Tell) -> list[float] | None:
    """Nobody is timed any more; one instance speaks for all, since all run the same setting."""
    if job.examples is None or job.answers is None or job.seat.index:
        return None
    tell("phase", phase=Phase.EVALUATING)
    return evaluate.work(step, evaluate.Paths(job.examples, job.answers))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def _load(
    backend: Backend, request: LoadRequest, artifact: Path | None
) -> tuple[Step, dict[str, Any]]:
    baseline = memory.status()
    with memory.ResidentPeak() as peak:
        load_s, step = _timed(lambda: backend.load(request, artifact))
    sizes = {
        "baseline_bytes": baseline.rss_bytes,
        "load_peak_bytes": peak.total_bytes,
        "weights_bytes": step.weights_bytes,
    }
    return step, {"load_s": load_s, "memory": sizes}


def _fidelity(
    job: Job, step: Runs, feeds: Sequence[Any], inputs: InputSet
) -> dict[str, Any] | None:
    """The outputs of the first sequences beside the reference's; None without a reference."""
    if job.reference is None:
        return None
    with np.load(job.reference) as stored:
        reference = dict(stored)
    rows = len(next(iter(reference.values())))
    outputs, masks = rows_of(step, feeds, inputs, rows)
    by = load_backend(job.case.backend).REFERENCE
    judged = fidelity.compare(reference, outputs, job.case.precision, masks, f"{by} fp32")
    return asdict(judged) | {"complaint": fidelity.complaint(judged)}


def rows_of(
    step: Runs, feeds: Sequence[Any], inputs: InputSet, rows: int
) -> tuple[dict[str, Any], Any]:
    """The outputs and masks of the first `rows` sequences as they came, padded to one length."""
    found: list[dict[str, Any]] = []
    masks: list[Any] = []
    for index, own in inputs.first(rows).items():
        outputs = step.outputs(step.run(feeds[index]))
        found.append({k: np.asarray(v)[own] for k, v in outputs.items()})
        masks.append(inputs.batches[index]["attention_mask"][own])
    lengths = {m.shape[1] for m in masks}
    longest = max(lengths)
    joined = {
        name: np.concatenate([_padded(o[name], lengths, longest) for o in found])
        for name in found[0]
    }
    return joined, np.concatenate([_padded(m, lengths, longest) for m in masks])


def _padded(array: Any, lengths: set[int], longest: int) -> Any:
    """Per-token arrays of shorter batches are padded to the longest, so that they stack."""
    if array.ndim < 2 or array.shape[1] not in lengths or array.shape[1] == longest:
        return array
    widths = [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, widths)


def _barrier(job: Job, name: str) -> Barrier:
    assert job.barriers is not None
    return Barrier.open(job.barriers / name, job.seat.index)


def _wait(job: Job, name: str) -> None:
    _barrier(job, name).arrive_and_wait(job.case.timeout_s)


def _time(
    job: Job, step: Step, fed: tuple[InputSet, Sequence[Any]], warmup: Warmup, tell: Tell
) -> dict[str, Any]:
    inputs, feeds = fed
    barrier = _barrier(job, "start")
    tell("phase", phase=Phase.WARMING_UP)
    warmup.finish()
    cpu: list[float] = []

    def begin() -> None:
        gc.collect()
        tell("phase", phase=Phase.MEASURING)
        barrier.arrive_and_wait(job.case.timeout_s)
        cpu.append(time.process_time())

    turn = len(feeds) if inputs.varied and len(feeds) <= _WHOLE_TURN else 1
    how = Sampling(job.case, begin, barrier.done, barrier.all_done, turn)
    timeline: Timeline = load_workload(job.case.workload).sample(step.run, feeds, how)
    cpu.append(time.process_time())
    tell("phase", phase=Phase.MEASURED)
    return {
        "began_ns": list(timeline.began_ns),
        "ended_ns": list(timeline.ended_ns),
        "fed": None if timeline.fed is None else list(timeline.fed),
        "cpu_s": cpu[1] - cpu[0],
        "warmup_s": warmup.elapsed_s,
        "settled": warmup.settled,
    }


def _memory(job: Job, step: Step, feeds: Sequence[Any]) -> dict[str, Any]:
    if not job.case.memory:
        return {}
    largest = max(feeds, key=lambda f: _elements(f))
    gc.collect()
    with memory.ResidentPeak() as peak:
        for _ in range(_MEMORY_CALLS):
            step.run(largest)
    return {
        "rss_peak_bytes": peak.total_bytes,
        "rss_anon_peak_bytes": peak.anon_bytes,
        "rss_file_peak_bytes": peak.file_bytes,
        "tensor_peak_bytes": step.tensor_peak_bytes(largest),
        **step.device_memory(largest),
    }


def _elements(feed: Any) -> int:
    arrays = feed.values() if isinstance(feed, dict) else feed
    return max(int(np.prod(a.shape)) for a in arrays)


def _effective(job: Job, backend: Backend, step: Step, feeds: Sequence[Any]) -> dict[str, Any]:
    """What the engine and the kernel say of this process, beside what was asked."""
    told = dict(step.read_back())
    for _ in range(_PROOF_TRIES):
        burst, running = burst_of(step, feeds[0], told)
        if not told.get("turns") or running <= (job.seat.threads or running):
            break
    return {
        "cpus": list(affinity.allowed_cpus()),
        "nodes": list(job.seat.nodes) or None,
        "threads_running": running,
        "threads_runnable_mean": round(burst.runnable_mean, 2),
        "cpus_ran_on": list(threads.cpus_ran_on(burst.ran())),
        **spawn.read_back(job.case.knobs),
        **told,
        **dict(backend.versions()),
    }


def burst_of(step: Step, feed: Any, told: Mapping[str, Any]) -> tuple[threads.Burst, int]:
    """Calls for a while, and how many threads ran in them, or took turns."""
    before = threads.snapshot()
    while time.perf_counter() - before.at_s < _PROOF_S:
        step.run(feed)
    burst = threads.burst(before, threads.snapshot())
    if told.get("caller") == "waits":
        burst = burst.without(threading.get_native_id())
    return burst, burst.at_once() if told.get("turns") else len(burst.ran())
