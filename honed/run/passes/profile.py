"""Profile: the operators of one call by the engine's own profiler, after everything that is timed.

A profiled call is slower than others, so its times show shares only. The record keeps how much
slower it was; latencies always come from calls without the profiler.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honed import artifacts
from honed.errors import StoreError
from honed.phase import Phase
from honed.plain import from_plain, to_plain
from honed.profile import OperatorEvent, ProfileRow, rows_of
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
BARRIERS = ()
_CALLS = 3
_KIND, _FILE = "traces", "events.json"


@dataclass(frozen=True, slots=True)
class Part:
    """`plain_s` is the fastest of a few calls without the profiler, `profiled_s` the fastest of as
    many with it, whose operators `rows` holds. `trace` is a file with every single event."""

    plain_s: float
    profiled_s: float
    rows: tuple[ProfileRow, ...]
    trace: Path

    @property
    def overhead(self) -> float:
        """How much longer the profiled call took, as a share of a plain call."""
        return self.profiled_s / self.plain_s - 1


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and where the engine has no profiler."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.PROFILING)
    step, feed = loaded.step, loaded.feeds[0]
    step.profile(feed)  # the profiler's first call sets it up
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        step.run(feed)
        times.append(time.perf_counter() - began)
    profiles = [step.profile(feed) for _ in range(_CALLS)]
    # The fastest one: other programs make an operator slower, and never faster.
    profiled_s, events = min(
        ((sum(event.self_s for event in each), each) for each in profiles),
        key=lambda pair: pair[0],
    )
    if not events:
        return None
    rows = rows_of(events, profiled_s)
    return Part(min(times), profiled_s, rows, _written(events))


def _written(events: Sequence[OperatorEvent]) -> Path:
    """A new file in the cache, which is pruned like every other."""
    text = json.dumps(to_plain(list(events)))
    about = {"trace": uuid.uuid4().hex}
    folder = artifacts.make(_KIND, about, lambda empty: _write(empty / _FILE, text))
    return folder / _FILE


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def read_trace(path: Path) -> list[OperatorEvent]:
    """The events of a trace; StoreError if the cache has dropped it."""
    try:
        return [from_plain(OperatorEvent, each) for each in json.loads(path.read_text())]
    except OSError as error:
        raise StoreError(
            f"the trace {path} is not in the cache any more", "profile the setting again"
        ) from error


def merge(gathered: Gathered[Part]) -> Merged:
    return Merged(recorded=gathered.parts[0])
