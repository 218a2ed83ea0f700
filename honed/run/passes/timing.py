"""Timing: warm up, begin together, call as the workload does; latency, throughput and rates."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.case import Case
from honed.machine import isa, limits
from honed.machine.peak_flops import bound_flops_per_s
from honed.models.inputs import InputSet
from honed.phase import Phase
from honed.record import Latency, Metrics, Samples
from honed.run.needs import INPUTS, load_inputs
from honed.run.passes.base import Gathered, Loaded, LoadFacts, Merged
from honed.statistics import adjust, sample, window
from honed.workers.seat import Seat
from honed.workloads.base import Sampling, Timeline, Work, load_workload

NEEDS = (INPUTS,)
BARRIERS = ("start",)
# A sender of requests may be late by this much, or by this share of the median latency (p99).
_LATE_S, _LATE_SHARE = 0.001, 0.05
_WHOLE_TURN = 64  # batches: as many as lengths are drawn for; files of texts may hold far more


@dataclass(frozen=True, slots=True)
class Part:
    """When each call of this instance began and ended, and how the process got there."""

    timeline: Timeline
    cpu_s: float
    warmup_s: float
    settled: bool
    skips_padding: bool

    def inputs_of_calls(self, inputs: int) -> Sequence[int]:
        """Which input each call took."""
        if self.timeline.fed is not None:
            return self.timeline.fed
        return [call % inputs for call in range(len(self.timeline.began_ns))]


def work(loaded: Loaded) -> Part:
    loaded.on_phase(Phase.WARMING_UP)
    loaded.warmup.finish()
    cpu_s: list[float] = []
    with loaded.barrier("start") as barrier:

        def begin() -> None:
            gc.collect()
            loaded.on_phase(Phase.MEASURING)
            barrier.arrive_and_wait(loaded.case.timeout_s)
            cpu_s.append(time.process_time())

        whole_turns = loaded.inputs.varied and len(loaded.feeds) <= _WHOLE_TURN
        turn = len(loaded.feeds) if whole_turns else 1
        index = loaded.job.seat.index
        sampling = Sampling(loaded.case, begin, barrier.done, barrier.all_done, turn, index)
        workload = load_workload(loaded.case.workload)
        timeline = workload.sample(loaded.step.run, loaded.feeds, sampling)
        loaded.calls.update(warmup_steps=loaded.warmup.calls, steps=len(timeline.began_ns))
        cpu_s.append(time.process_time())
        loaded.on_phase(Phase.MEASURED)
    return Part(
        timeline,
        cpu_s=cpu_s[1] - cpu_s[0],
        warmup_s=loaded.warmup.elapsed_s,
        settled=loaded.warmup.settled,
        skips_padding=bool(loaded.step.read_back().get("skips_padding")),
    )


def merge(gathered: Gathered[Part]) -> Merged:
    case, parts = gathered.case, gathered.parts
    cut = window.cut([(p.timeline.began_ns, p.timeline.ended_ns) for p in parts])
    inputs = load_inputs(gathered.prepared)
    fed = [part.inputs_of_calls(len(inputs.batches)) for part in parts]
    factors = _factors(cut, fed, inputs)
    cures = sample.COUNTED if case.get("warmup_steps") is not None else sample.Cures()
    doubts = sample.doubts(cut.samples, all(p.settled for p in parts), factors, cures)
    doubts += gathered.watch.doubts(sum(p.cpu_s for p in parts))
    doubts += isa.doubts(case.precision, case.device, gathered.machine)
    loads, works = gathered.loads, _works(gathered, inputs)
    calls = calls_in_window(cut, fed, len(works))

    def per_s(amounts: Sequence[float | None]) -> float | None:
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts):
            return None
        return float(calls @ np.asarray(known, float)) / cut.window_s

    metrics = Metrics(
        latency_s=sample.latency(cut.samples),
        throughput_per_s=sample.throughput(cut, case.batch_size, factors),
        tokens_per_s=per_s([w.tokens for w in works]),
        useful_tokens_per_s=per_s([w.useful_tokens for w in works]),
        flops_per_s=per_s([w.flops for w in works]), bytes_per_s=per_s([w.bytes for w in works]),
        bound_flops_per_s=_bound(case, gathered.seats, gathered.machine),
        import_s=max(load.import_s for load in loads), load_s=max(load.load_s for load in loads),
        first_call_s=max(map(_first_call_s, loads, parts)),
        build_s=max(load.build_s for load in loads), warmup_s=max(p.warmup_s for p in parts),
        samples=sum(len(s) for s in cut.samples.latency_s), window_s=cut.window_s,
        slowest_p50_s=max(float(np.median(s)) for s in cut.samples.latency_s if s),
        phases=_phases(cut, parts), **_open_loop(cut, parts),
    )  # fmt: skip
    opened_s = time.time() - (time.monotonic_ns() - cut.opens_ns) / 1e9
    samples = replace(cut.samples, window_began_s=opened_s)
    late = _late(metrics)
    return Merged(doubts=doubts, inputs=inputs.facts(), samples=samples, metrics=metrics,
                  unproven=(late,) if late else ())  # fmt: skip


def _first_call_s(load: LoadFacts, part: Part) -> float:
    if load.first_call_s is not None:
        return load.first_call_s
    return (part.timeline.ended_ns[0] - part.timeline.began_ns[0]) / 1e9


def _factors(
    cut: window.Cut, fed: Sequence[Sequence[int]], inputs: InputSet
) -> list[sample.Floats] | None:
    """What makes the calls of unlike inputs comparable; None where that cannot be told."""
    sizes = [(b["input_ids"].size, int(b["attention_mask"].sum())) for b in inputs.batches]
    of_instances = []
    for calls, places, order in zip(cut.samples.latency_s, cut.places, fed, strict=True):
        factors = adjust.factors(calls, [order[place] for place in places], sizes)
        if factors is None:
            return None
        of_instances.append(factors)
    return of_instances


def _works(gathered: Gathered[Part], inputs: InputSet) -> list[Work]:
    """What a call with each batch computes."""
    case, model = gathered.case, gathered.prepared.model
    skips_padding = all(part.skips_padding for part in gathered.parts)
    work_per_call = load_workload(case.workload).work_per_call
    return [work_per_call(case, model, batch, skips_padding) for batch in inputs.batches]


def calls_in_window(
    cut: window.Cut, fed: Sequence[Sequence[int]], inputs: int
) -> npt.NDArray[np.float64]:
    """How many calls with each input the window held; calls that it cut count by their share."""
    calls = np.zeros(inputs)
    for order, shares in zip(fed, cut.shares, strict=True):
        np.add.at(calls, list(order), shares)
    return calls


def _bound(case: Case, seats: Sequence[Seat], machine: Mapping[str, Any]) -> float | None:
    """What the cores in use can do at this precision; an unpinned instance may use them all."""
    if case.device != "cpu":
        return None
    cpus = sorted({cpu for seat in seats for cpu in seat.cpus}) or limits.read().cpus
    return bound_flops_per_s(case.precision, cpus, machine)


def _phases(cut: window.Cut, parts: Sequence[Part]) -> dict[str, Latency] | None:
    """The times of each part of a call, of the calls inside the common window."""
    latencies = {}
    for name in parts[0].timeline.phases_ns:
        kept = tuple(
            tuple(part.timeline.phases_ns[name][place] / 1e9 for place in places)
            for part, places in zip(parts, cut.places, strict=True)
        )
        latencies[name] = sample.latency(Samples(kept, cut.samples.completed_s))
    return latencies or None


def _open_loop(cut: window.Cut, parts: Sequence[Part]) -> dict[str, Any]:
    """What requests to a server have beside their latency: refusals, goodput and lateness."""
    timelines = [part.timeline for part in parts]
    found: dict[str, Any] = {}
    if all(t.refused is not None for t in timelines):
        found["refused"] = sum(t.refused or 0 for t in timelines)
    if all(t.in_time is not None for t in timelines):
        good = sum(
            sum((t.in_time or ())[place] for place in places)
            for t, places in zip(timelines, cut.places, strict=True)
        )
        found["goodput_per_s"] = good / cut.window_s
    if all(t.late_ns for t in timelines):
        late = tuple(tuple(ns / 1e9 for ns in t.late_ns) for t in timelines)
        found["lateness_s"] = sample.latency(Samples(late, cut.samples.completed_s))
    return found


def _late(metrics: Metrics) -> str:
    """Why the load was not the one that was asked for; empty if it was."""
    lateness = metrics.lateness_s
    if lateness is None:
        return ""
    worst_s = lateness.max if lateness.p99 is None else lateness.p99
    allowed_s = max(_LATE_S, _LATE_SHARE * metrics.latency_s.p50)
    if worst_s <= allowed_s:
        return ""
    return (
        f"the times of the requests (the sender was up to {worst_s * 1e3:.1f} ms late, more than "
        f"{allowed_s * 1e3:.1f} ms: give it a core of its own, or a lower rate)"
    )
