"""Proofs: settings are read back from inside each worker and compared with what was asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.backends.base import Step
from honed.case import Case
from honed.instruments import threads
from honed.knob import Value
from honed.knobs import applicable_knobs
from honed.machine import affinity, spawn
from honed.models.knobs import padding
from honed.plain import to_plain
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged
from honed.workers.seat import Seat

NEEDS = (INPUTS,)
BARRIERS = ()
_BURST_S = 0.25  # long enough for every pool thread to show up in the kernel's run times
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

    @property
    def effective(self) -> dict[str, Any]:
        """As the Record keeps it: one flat mapping."""
        plain: dict[str, Any] = to_plain(self)
        read_back = plain.pop("read_back")
        return {**plain, "nodes": plain["nodes"] or None, **read_back}


def work(loaded: Loaded) -> Part:
    case, seat, step = loaded.case, loaded.job.seat, loaded.step
    of_engine = dict(step.read_back())
    for _ in range(_TRIES):
        burst, running = burst_of(step, loaded.feeds[0], of_engine)
        if not of_engine.get("turns") or running <= (seat.threads or running):
            break
    of_inputs = padding.read_back(loaded.inputs.batches, case.knobs, case.sequence_length)
    return Part(
        affinity.allowed_cpus(), seat.nodes or None, running, round(burst.runnable_mean, 2),
        threads.cpus_ran_on(burst.ran()),
        {**spawn.read_back(case.knobs), **of_engine, **loaded.backend.versions(), **of_inputs},
    )  # fmt: skip


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
    for seat, of_instance in zip(gathered.seats, effective, strict=True):
        unproven |= dict.fromkeys(_unproven(gathered.case, seat, of_instance))
    return Merged(effective=effective, unproven=tuple(unproven))


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
    if seat.threads is not None and effective.get("threads") != seat.threads:
        sentences.append(f"threads={seat.threads} (the engine says {effective.get('threads')})")
    if seat.threads is not None and effective["threads_running"] > seat.threads:
        sentences.append(f"threads={seat.threads} ({effective['threads_running']} were running)")
    if seat.cpus and not set(effective["cpus"]) <= set(seat.cpus):
        sentences.append(f"cpus {list(seat.cpus)} (threads may run on {effective['cpus']})")
    return sentences
