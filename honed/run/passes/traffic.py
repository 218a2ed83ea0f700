"""Traffic: no call is faster than the bytes that it must write. One that is did not do its work.

The usual cause on a GPU is a clock that was stopped before the device had finished.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from honed.phase import Phase
from honed.record import Doubt
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
BARRIERS = ()
_CALLS = 5


@dataclass(frozen=True, slots=True)
class Part:
    """The median time of a few calls, and the time that their traffic alone takes."""

    call_s: float
    least_s: float
    traffic: str


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and where nothing bounds a call."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.CHECKING)
    step, feed = loaded.step, loaded.feeds[0]
    least = step.least_call_s(feed)
    if least is None:
        return None
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        step.run(feed)
        times.append(time.perf_counter() - began)
    return Part(statistics.median(times), least.seconds, least.traffic)


def merge(gathered: Gathered[Part]) -> Merged:
    part = gathered.parts[0]
    if part.call_s >= part.least_s:
        return Merged(recorded=part)
    message = (
        f"a call took {part.call_s * 1e3:.3g} ms, but {part.traffic} alone takes "
        f"{part.least_s * 1e3:.3g} ms on this device: the clock stopped before the work was "
        "done (missing synchronisation), or not all of it was done"
    )
    return Merged(doubts=(Doubt("traffic", message),), recorded=part)
