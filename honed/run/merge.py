"""Results of all instances, merged into one Record with a status that was earned."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

import honed
from honed.backends.base import engine_packages
from honed.case import Case
from honed.knobs import applicable_knobs, filled_in
from honed.machine import facts, interference, isa, limits
from honed.machine.peak_flops import bound_flops_per_s
from honed.models.checkpoint import Checkpoint
from honed.models.flops import forward_flops
from honed.models.inputs import InputSet
from honed.record import (
    Accuracy,
    Doubt,
    Error,
    Fidelity,
    Memory,
    Metrics,
    Record,
    Status,
)
from honed.run import evaluate
from honed.run.job import Job
from honed.run.prepare import Prepared
from honed.statistics import adjust, sample, window
from honed.statistics.accuracy import complaint as complaint_of_accuracy
from honed.workers.failure import Death
from honed.workers.interpreter import Interpreter
from honed.workers.seat import Seat

Result = Mapping[str, Any]


def failure(case: Case, death: Death) -> Record:
    """The Record of a Case that gave no result."""
    return _record(case, death.status, error=Error(death.kind, death.message, death.hint))


def record(
    jobs: Sequence[Job], results: Sequence[Result], prepared: Prepared, watched: interference.Watch
) -> Record:
    """The Record of a Case whose every instance gave a result."""
    case = jobs[0].case
    cut = window.cut([(r["began_ns"], r["ended_ns"]) for r in results])
    inputs = InputSet.load(prepared.inputs)
    settled = all(r["settled"] for r in results)
    fed = [_fed(r, len(inputs.batches)) for r in results]
    factors = _factors(cut, fed, inputs)
    skips = all(r["effective"].get("skips_padding") for r in results)
    rates = _rates(cut, fed, _computed(inputs, skips), prepared.checkpoint)
    doubts = sample.doubts(cut.samples, settled, factors)
    doubts += watched.doubts(sum(r["cpu_s"] for r in results))
    doubts += isa.doubts(case.precision, case.device, facts.machine_facts())
    fidelity = _worst([r["fidelity"] for r in results if r["fidelity"] is not None])
    unproven = _unproven(case, [j.seat for j in jobs], results)
    accuracy = None
    if prepared.evaluation is not None:
        accuracy, said = evaluate.judge(case, prepared.evaluation, results[0]["said"])
        doubts += said
    status, error = _status(_complaints_of(fidelity, accuracy), unproven, results)
    return _record(
        case,
        status,
        error=error,
        effective=tuple(r["effective"] for r in results),
        inputs=inputs.facts(),
        samples=replace(cut.samples, window_began_s=_unix_s(cut.opens_ns)),
        metrics=_metrics(jobs, results, cut, factors, rates),
        memory=_memory([r["memory"] for r in results]),
        fidelity=fidelity and Fidelity(**{k: v for k, v in fidelity.items() if k != "complaint"}),
        accuracy=accuracy,
        doubts=doubts + tuple(Doubt(**n) for r in results for n in r["notes"]),
    )


def ran_by(record: Record, elsewhere: Interpreter) -> Record:
    """The record with the versions of the interpreter that ran it, where it was not this one."""
    return replace(record, machine={**record.machine, **asdict(elsewhere)})


def _record(case: Case, status: Status, **parts: Any) -> Record:
    return Record(
        id=uuid.uuid4().hex[:12],
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        honed=honed.__version__,
        status=status,
        case=filled_in(case),
        machine=facts.machine_facts(packages=engine_packages()),
        **parts,
    )


def _unix_s(monotonic_ns: int) -> float:
    return time.time() - (time.monotonic_ns() - monotonic_ns) / 1e9


def _fed(result: Result, inputs: int) -> list[int]:
    """Which input each call took; in turn, where the workload does not say."""
    told: list[int] | None = result.get("fed")
    return [i % inputs for i in range(len(result["began_ns"]))] if told is None else told


def _factors(
    cut: window.Cut, fed: Sequence[Sequence[int]], inputs: InputSet
) -> list[sample.Floats] | None:
    """What makes the calls of unlike inputs comparable; None where that cannot be told."""
    sizes = [(b["input_ids"].size, int(b["attention_mask"].sum())) for b in inputs.batches]
    found = []
    for calls, places, order in zip(cut.samples.latency_s, cut.places, fed, strict=True):
        factors = adjust.factors(calls, [order[place] for place in places], sizes)
        if factors is None:
            return None
        found.append(factors)
    return found


def _computed(inputs: InputSet, skips_padding: bool) -> list[list[tuple[int, int, int]]]:
    """What each batch makes an engine compute: sequences, tokens of each, and useful tokens.

    Padding is arithmetic too, but for an engine that says that it skips it.
    """
    found = []
    for batch in inputs.batches:
        real = [int(n) for n in batch["attention_mask"].sum(axis=1)]
        rows, width = batch["input_ids"].shape
        found.append([(1, n, n) for n in real] if skips_padding else [(rows, width, sum(real))])
    return found


def _rates(
    cut: window.Cut,
    fed: Sequence[Sequence[int]],
    computed: Sequence[Sequence[tuple[int, int, int]]],
    checkpoint: Checkpoint,
) -> dict[str, float | None]:
    """Tokens and arithmetic per second, of the inputs that the window really held."""
    held = np.zeros(len(computed))
    for order, shares in zip(fed, cut.shares, strict=True):
        np.add.at(held, list(order), shares)

    def per_s(amounts: Sequence[float]) -> float:
        return float(held @ np.asarray(amounts, float)) / cut.window_s

    costs = [
        [forward_flops(checkpoint.config, rows, length, checkpoint.task) for rows, length, _ in b]
        for b in computed
    ]
    known = [sum(c for c in batch if c is not None) for batch in costs]
    return {
        "tokens_per_s": per_s([sum(rows * length for rows, length, _ in b) for b in computed]),
        "useful_tokens_per_s": per_s([sum(useful for *_, useful in b) for b in computed]),
        "flops_per_s": None if any(None in batch for batch in costs) else per_s(known),
    }


def _metrics(
    jobs: Sequence[Job],
    results: Sequence[Result],
    cut: window.Cut,
    factors: Sequence[sample.Floats] | None,
    rates: Mapping[str, Any],
) -> Metrics:
    return Metrics(
        latency_s=sample.latency(cut.samples),
        throughput_per_s=sample.throughput(cut, jobs[0].case.batch_size, factors),
        **rates,
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


def _complaints_of(fidelity: Mapping[str, Any] | None, found: Accuracy | None) -> list[str]:
    """What is wrong with the outputs, by either measure."""
    said = [
        fidelity["complaint"] if fidelity else "",
        "" if found is None else complaint_of_accuracy(found),
    ]
    return [text for text in said if text]


def _status(
    complaints: Sequence[str], unproven: Sequence[str], results: Sequence[Result]
) -> tuple[Status, Error | None]:
    if complaints:
        hint = "do not deploy this setting; try another precision or engine"
        return "diverged", Error("Diverged", "; ".join(complaints), hint)
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
