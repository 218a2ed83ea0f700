"""Proofs: settings are read back from inside each worker and compared with what was asked for.

Threads are judged by facts of the kernel that do not depend on how loaded the machine is:

- Too many: more threads ran than the Case allows.
- Two on one core: the CPUs on which the kernel lets the busy threads run (their affinity) cannot
  give each of them a CPU of its own. A thread that may run elsewhere is never blamed for the core
  on which it happened to run.
- Too few: fewer threads wanted to run than the Case asks for. A small model cannot keep every
  thread busy, so this counts only where a call has so much work for each thread that every engine
  divides it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.backends.base import Step
from honed.case import Case
from honed.instruments import threads
from honed.knob import Value
from honed.knobs import applicable_knobs
from honed.machine import affinity, ceiling, limits, spawn
from honed.models.flops import forward_flops
from honed.models.knobs import padding, shape
from honed.record import Doubt
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged
from honed.units import size_bytes
from honed.workers.seat import Seat
from honed.workloads.base import read_back as traffic_read_back

NEEDS = (INPUTS,)
BARRIERS = ()
_BURST_S = 0.25  # long enough for every pool thread to show up in the kernel's run times
# The work of one call for each thread from which on idle threads are no accident: about 10 ms of a
# core, some 5 MFLOP in every matrix product of a model with twelve layers.
_DIVIDED_FLOPS = 1e9
_TRIES = 3  # turns may overlap for once; threads that fight for cores always do


@dataclass(frozen=True, slots=True)
class Part:
    """What the kernel and the engine tell of this instance.

    `read_back` holds the machine's, the engine's and the inputs' settings by key, and the
    versions of the packages at work.
    """

    cpus: tuple[int, ...]
    nodes: tuple[int, ...] | None
    threads_running: int
    threads_runnable_mean: float
    cpus_ran_on: tuple[int, ...]
    read_back: Mapping[str, Value | None]
    threads_busy: int = 0  # wanted to run, whether or not they got a core
    threads_apart: int = 0  # how many of the busy ones can have a CPU of their own
    flops: int | None = None  # of one call on the CPU, where the family has a formula

    @property
    def effective(self) -> dict[str, Any]:
        """As the Record keeps it: one flat mapping."""
        return {
            "cpus": list(self.cpus),
            "nodes": list(self.nodes) if self.nodes else None,
            "threads_running": self.threads_running,
            "threads_busy": self.threads_busy,
            "threads_apart": self.threads_apart,
            "threads_runnable_mean": self.threads_runnable_mean,
            "cpus_ran_on": list(self.cpus_ran_on),
            **self.read_back,
        }


def work(loaded: Loaded) -> Part:
    case, seat, step = loaded.case, loaded.job.seat, loaded.step
    of_engine = dict(step.read_back())
    for _ in range(_TRIES):
        burst, running = burst_of(step, loaded.feeds[0], of_engine)
        if not of_engine.get("turns") or running <= (seat.threads or running):
            break
    busy = burst.wanted_to_run()
    allowed = affinity.cpus_allowed()
    return Part(
        threads_busy=len(busy),
        threads_apart=threads.apart([allowed[thread] for thread in busy if thread in allowed]),
        flops=_flops(loaded),
        cpus=tuple(affinity.allowed_cpus()),
        nodes=seat.nodes or None,
        threads_running=running,
        threads_runnable_mean=round(burst.runnable_mean, 2),
        cpus_ran_on=threads.cpus_ran_on(burst.ran()),
        read_back={
            **spawn.read_back(case.knobs),
            **traffic_read_back(case),
            **of_engine,
            **loaded.backend.versions(),
            **padding.read_back(loaded.inputs.batches, case.knobs, case.sequence_length),
            **_question(loaded),
            **(ceiling.read_back(case.instances) if case.memory_limit is not None else {}),
        },
    )


def _question(loaded: Loaded) -> dict[str, Value | None]:
    """What was measured, as far as knobs name it: the sizes of the model, how many calls."""
    case, model = loaded.case, loaded.job.prepared.model
    sizes = shape.read_back(model.config, case.knobs) if model is not None else {}
    own = applicable_knobs(case)
    return {**sizes, **{name: calls for name, calls in loaded.calls.items() if name in own}}


def burst_of(step: Step, feed: Any, of_engine: Mapping[str, Any]) -> tuple[threads.Burst, int]:
    """Calls for a while, and how many threads ran in them, or took turns."""
    before = threads.snapshot()
    while time.perf_counter() - before.at_s < _BURST_S:
        step.run(feed)
    burst = threads.burst(before, threads.snapshot())
    if of_engine.get("caller") == "waits":
        burst = burst.without(threading.get_native_id())
    return burst, burst.at_once() if of_engine.get("turns") else len(burst.ran())


def merge(gathered: Gathered[Part]) -> Merged:
    effective = tuple(part.effective for part in gathered.parts)
    unproven: dict[str, None] = {}  # each sentence once, however many instances it is true of
    for seat, part in zip(gathered.seats, gathered.parts, strict=True):
        unproven |= dict.fromkeys(_unproven(gathered.case, seat, part.effective))
        unproven |= dict.fromkeys(_unproven_threads(seat, part))
    doubts = _beyond_budget(gathered.case, effective)
    return Merged(effective=effective, unproven=tuple(unproven), doubts=doubts)


def _beyond_budget(case: Case, effective: Sequence[Mapping[str, Any]]) -> tuple[Doubt, ...]:
    """A doubt if the engine took the smallest setting that it has, which needs more memory than
    the Case's budget."""
    needed = [instance.get("memory_needed_bytes") for instance in effective]
    most = max((n for n in needed if isinstance(n, int)), default=0)
    if case.memory_budget is None or most <= size_bytes(case.memory_budget):
        return ()
    message = (
        f"memory_budget={case.memory_budget} cannot be kept: the smallest setting needs "
        f"{most / 2**20:.1f} MiB, and it was used"
    )
    return (Doubt("memory_budget", message),)


def _flops(loaded: Loaded) -> int | None:
    """What the first batch costs on the CPU; None where no formula says it."""
    case, model = loaded.case, loaded.job.prepared.model
    if model is None or case.device != "cpu":
        return None
    rows, tokens = loaded.inputs.batches[0]["input_ids"].shape
    if loaded.step.read_back().get("skips_padding"):
        tokens = int(loaded.inputs.batches[0]["attention_mask"].sum()) // rows
    return forward_flops(model.config, rows, tokens, model.task, model.layers)


def _unproven(case: Case, seat: Seat, effective: Mapping[str, Any]) -> list[str]:
    """What was asked for and is not what was read back."""
    sentences = []
    for name, knob in applicable_knobs(case).items():
        asked, got = case.knobs.get(name), effective.get(name)
        if asked is not None and (got is None or not knob.proves(asked, got)):
            sentences.append(f"{name}={asked} (read back: {'nothing' if got is None else got})")
    for name in ("precision", "device"):
        if effective.get(name) != case.get(name):
            sentences.append(f"{name}={case.get(name)} (read back: {effective.get(name)})")
    if case.memory_limit is not None and not _is_limited(case, effective):
        got = effective.get("memory_limit") or "nothing"
        sentences.append(f"memory_limit={case.memory_limit} (read back: {got})")
    if seat.threads is not None and effective.get("threads") != seat.threads:
        sentences.append(f"threads={seat.threads} (the engine says {effective.get('threads')})")
    if seat.cpus and not set(effective["cpus"]) <= set(seat.cpus):
        sentences.append(f"cpus {list(seat.cpus)} (threads may run on {effective['cpus']})")
    return sentences


def _is_limited(case: Case, effective: Mapping[str, Any]) -> bool:
    got, asked = effective.get("memory_limit"), case.memory_limit
    if not isinstance(got, str) or asked is None:
        return False
    return ceiling.proves(size_bytes(asked), size_bytes(got), case.instances)


def _unproven_threads(seat: Seat, part: Part) -> list[str]:
    """How the threads at work differ from those that were asked for; see the top of this file."""
    sentences = []
    asked = seat.threads
    if asked is not None and part.threads_running > asked:
        sentences.append(f"threads={asked} ({part.threads_running} were running)")
    divided = asked is not None and part.flops is not None and part.flops > asked * _DIVIDED_FLOPS
    if asked is not None and divided and part.threads_busy < asked:
        sentences.append(f"threads={asked} (only {part.threads_busy} had work)")
    wanted = asked or part.read_back.get("threads")
    cpus = len(seat.cpus or limits.own_affinity())
    most = min(part.threads_busy, cpus, wanted if isinstance(wanted, int) else cpus)
    if part.threads_apart < most:
        sentences.append(
            f"a core for each thread (the kernel lets {part.threads_busy} busy threads run on "
            f"{part.threads_apart} of {cpus} CPUs)"
        )
    return sentences
