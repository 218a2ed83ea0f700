"""Results of all instances, merged into one Record with a status that was earned."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

import honed
from honed.case import Case
from honed.compose import applicable_knobs, filled_in
from honed.machine import facts, limits, watch
from honed.machine.bound import bound_flops_per_s
from honed.measure import stats, window
from honed.models.checkpoint import Checkpoint
from honed.models.cost import forward_flops
from honed.models.inputs import InputSet
from honed.record import (
    Doubt,
    Error,
    Fidelity,
    Memory,
    Metrics,
    Record,
    Status,
)
from honed.run.death import Death
from honed.run.job import Job, Seat
from honed.run.prepare import Prepared

Result = Mapping[str, Any]


def failure(case: Case, death: Death) -> Record:
    """The Record of a Case that gave no result."""
    return _record(case, death.status, error=Error(death.kind, death.message, death.hint))


def record(
    jobs: Sequence[Job], results: Sequence[Result], prepared: Prepared, watched: watch.Watch
) -> Record:
    """The Record of a Case whose every instance gave a result."""
    case = jobs[0].case
    cut = window.cut([(r["began_ns"], r["ended_ns"]) for r in results])
    inputs = InputSet.load(prepared.inputs)
    settled = all(r["settled"] for r in results)
    lengths = {b["input_ids"].shape[1] for b in inputs.batches}
    cycle = len(inputs.batches) if len(lengths) > 1 else 1
    doubts = stats.doubts(cut.samples, settled, cycle)
    doubts += watched.doubts(sum(r["cpu_s"] for r in results))
    fidelity = _worst([r["fidelity"] for r in results if r["fidelity"] is not None])
    unproven = _unproven(case, [j.seat for j in jobs], results)
    status, error = _status(fidelity, unproven, results)
    return _record(
        case,
        status,
        error=error,
        effective=tuple(r["effective"] for r in results),
        inputs=inputs.facts(),
        samples=replace(cut.samples, window_began_s=_unix_s(cut.opens_ns)),
        metrics=_metrics(jobs, results, cut, (prepared.checkpoint, inputs)),
        memory=_memory([r["memory"] for r in results]),
        fidelity=fidelity and Fidelity(**{k: v for k, v in fidelity.items() if k != "complaint"}),
        doubts=doubts + tuple(Doubt(**n) for r in results for n in r["notes"]),
    )


def _record(case: Case, status: Status, **parts: Any) -> Record:
    return Record(
        id=uuid.uuid4().hex[:12],
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        honed=honed.__version__,
        status=status,
        case=filled_in(case),
        machine=facts.machine_facts(),
        **parts,
    )


def _unix_s(monotonic_ns: int) -> float:
    return time.time() - (time.monotonic_ns() - monotonic_ns) / 1e9


def _metrics(
    jobs: Sequence[Job],
    results: Sequence[Result],
    cut: window.Cut,
    fed: tuple[Checkpoint, InputSet],
) -> Metrics:
    case, (checkpoint, inputs) = jobs[0].case, fed
    throughput = stats.throughput(cut, case.batch_size)
    per_s = throughput.value or 0.0
    padded = float(np.mean([b["input_ids"].shape[1] for b in inputs.batches]))
    useful = float(np.mean(inputs.lengths))
    flops = _flops(checkpoint, inputs)
    return Metrics(
        latency_s=stats.latency(cut.samples),
        throughput_per_s=throughput,
        tokens_per_s=per_s * padded,
        useful_tokens_per_s=per_s * useful,
        flops_per_s=None if flops is None else per_s / case.batch_size * flops,
        bound_flops_per_s=_bound(jobs),
        import_s=max(r["import_s"] for r in results),
        load_s=max(r["load_s"] for r in results),
        first_call_s=max(r["first_call_s"] for r in results),
        build_s=max(r["build_s"] for r in results),
        warmup_s=max(r["warmup_s"] for r in results),
        samples=sum(len(s) for s in cut.samples.latency_s),
        window_s=cut.window_s,
        slowest_p50_s=max(float(np.median(s)) for s in cut.samples.latency_s if s),
    )


def _flops(checkpoint: Checkpoint, inputs: InputSet) -> float | None:
    """Arithmetic of the mean call, padding included: the engine computes it too."""
    costs = [forward_flops(checkpoint.config, *_shape(b), checkpoint.task) for b in inputs.batches]
    known = [c for c in costs if c is not None]
    return sum(known) / len(known) if known and len(known) == len(costs) else None


def _shape(batch: Mapping[str, Any]) -> tuple[int, int]:
    rows, length = batch["input_ids"].shape
    return rows, length


def _bound(jobs: Sequence[Job]) -> float | None:
    """What the cores in use can do at this precision; an unpinned instance may use them all."""
    case = jobs[0].case
    if case.device != "cpu":
        return None
    cpus = sorted({c for j in jobs for c in j.seat.cpus}) or limits.read().cpus
    return bound_flops_per_s(case.precision, cpus, facts.machine_facts())


def _memory(parts: Sequence[Mapping[str, Any]]) -> Memory:
    """The largest instance's, but the sum of the proportional shares."""
    merged: dict[str, int | None] = {}
    for key in {k for part in parts for k in part} - {"pss_bytes"}:
        known = [part[key] for part in parts if part.get(key) is not None]
        merged[key] = max(known) if known else None
    shares = [part["pss_bytes"] for part in parts]
    total = None if None in shares else sum(shares)
    return Memory(**merged, pss_total_bytes=total)


def _worst(judged: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The instance whose outputs are furthest off."""
    return min(judged, key=lambda f: (not f["complaint"], f["cosine_min"]), default=None)


def _status(
    fidelity: Mapping[str, Any] | None, unproven: Sequence[str], results: Sequence[Result]
) -> tuple[Status, Error | None]:
    if fidelity is not None and fidelity["complaint"]:
        hint = "do not deploy this setting; try another precision or engine"
        return "diverged", Error("Diverged", fidelity["complaint"], hint)
    if unproven:
        notes = "; ".join(n["message"] for r in results for n in r["notes"])
        message = f"not proven to have taken effect: {'; '.join(unproven)}"
        return "unproven", Error(
            "Unproven", message, notes or "honed show lists what was read back"
        )
    return "ok", None


def _unproven(case: Case, seats: Sequence[Seat], results: Sequence[Result]) -> list[str]:
    """What was asked for and not read back from inside, said once however many instances."""
    wrong: dict[str, None] = {}
    for seat, result in zip(seats, results, strict=True):
        for complaint in _complaints(case, seat, result["effective"]):
            wrong[complaint] = None
    return list(wrong)


def _complaints(case: Case, seat: Seat, effective: Mapping[str, Any]) -> list[str]:
    found = []
    for name, knob in applicable_knobs(case).items():
        asked, got = case.knobs.get(name), effective.get(name)
        if asked is not None and (got is None or not knob.proves(asked, got)):
            found.append(f"{name}={asked} (read back: {'nothing' if got is None else got})")
    for name in ("precision", "device"):
        if effective.get(name) != case.get(name):
            found.append(f"{name}={case.get(name)} (read back: {effective.get(name)})")
    if seat.threads is not None and effective.get("threads") != seat.threads:
        found.append(f"threads={seat.threads} (the engine says {effective.get('threads')})")
    if seat.threads is not None and effective["threads_running"] > seat.threads:
        found.append(f"threads={seat.threads} ({effective['threads_running']} were running)")
    if seat.cpus and not set(effective["cpus"]) <= set(seat.cpus):
        found.append(f"cpus {list(seat.cpus)} (threads may run on {effective['cpus']})")
    return found
