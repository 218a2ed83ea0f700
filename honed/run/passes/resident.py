"""Resident memory over the time of one call, by kind: `passes=resident` adds it to a Case."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass

from honed.instruments import memory
from honed.phase import Phase
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
BARRIERS = ()
_POINTS = 400  # more are not seen in a picture
_FASTEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Part:
    """Anonymous and file-backed bytes at `times_s` since the call began."""

    times_s: tuple[float, ...]
    anon_bytes: tuple[int, ...]
    file_bytes: tuple[int, ...]


def work(loaded: Loaded) -> Part | None:
    """One call of the first instance; the times of this call are not measured."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.MEASURING_MEMORY)
    step, feed = loaded.step, loaded.feeds[0]
    began = time.perf_counter()
    step.run(feed)
    every_s = max(_FASTEST_S, (time.perf_counter() - began) / _POINTS)
    gc.collect()
    readings: list[tuple[float, int, int]] = []
    ended = threading.Event()
    start = time.perf_counter()

    def look() -> None:
        now = memory.status()
        readings.append((time.perf_counter() - start, now.anon_bytes, now.file_bytes))

    def watch() -> None:
        while not ended.wait(every_s):
            look()

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        step.run(feed)
    finally:
        ended.set()
        watcher.join()
    look()
    times, anon, file = zip(*readings, strict=True)
    return Part(times, anon, file)


def merge(gathered: Gathered[Part]) -> Merged:
    return Merged(recorded=gathered.parts[0])
