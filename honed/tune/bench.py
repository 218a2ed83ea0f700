"""Where the numbers come from: Cases measured in fresh processes, kept as Records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from honed.case import Case
from honed.compare import session
from honed.compare.outcome import Comparison, Metric
from honed.errors import HonedError, StoreError
from honed.phase import OnPhase, Phase
from honed.record import Record
from honed.run.lab import LocalLab
from honed.run.machine_lock import alone
from honed.run.parent import InterruptedRun, measure
from honed.store import Store

_RESOLUTION = 0.01  # differences under this are not worth a knob


class Abandoned(HonedError):  # noqa: N818 - an outcome, not a fault
    """A trial that cannot win any more, or for which no time is left."""

    status = "timeout"


class Bench(Protocol):
    """What the search needs of the world; a landscape of numbers in tests."""

    def clock_s(self) -> float:
        """Seconds, from any beginning."""

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else measures on this machine inside the block."""

    def measure(self, case: Case, on_phase: OnPhase) -> Record:
        """One Record, stored. What `on_phase` raises ends the trial."""

    def compare(self, sides: Mapping[str, Case], metric: Metric, budget_s: float) -> Comparison:
        """The sides in turns, until the first and each other are told apart."""

    def record(self, id: str) -> Record | None:
        """A stored Record."""


class RealBench:
    """Measures on this machine; every Record goes into the store under the study's name."""

    def __init__(self, store: Store, study: str, on_wait: Callable[[], None]) -> None:
        self._store = store
        self._study = study
        self._on_wait = on_wait

    def clock_s(self) -> float:
        return time.monotonic()

    def alone(self) -> AbstractContextManager[None]:
        return alone(self._store.url, self._on_wait)

    def measure(self, case: Case, on_phase: OnPhase) -> Record:
        try:
            record = measure(case, on_phase)
        except InterruptedRun as stopped:
            self._store.append(stopped.record, sweep=self._study)
            raise
        self._store.append(record, sweep=self._study)
        return record

    def compare(self, sides: Mapping[str, Case], metric: Metric, budget_s: float) -> Comparison:
        ends_s = time.monotonic() + budget_s

        def on_progress(at: session.CompareProgress) -> None:
            # A round may last longer than the one before it. Only a worker's own phases come from
            # inside a measurement, which makes a Record of what is raised.
            if time.monotonic() > ends_s and at.phase is not Phase.STARTING:
                raise Abandoned("the study's time was up", "a longer budget=")

        options = session.CompareOptions(
            metric=metric, resolution=_RESOLUTION, budget_s=budget_s, on_progress=on_progress
        )
        found = session.compare(sides, options, LocalLab(self._store))
        if found.ended == "interrupted":
            raise KeyboardInterrupt
        return found

    def record(self, id: str) -> Record | None:
        try:
            return self._store.get(id)
        except StoreError:
            return None


class Guard:
    """Hears the phases of a trial, and ends it when time is up or when it cannot win.

    `timed_s` is how long warming up and measuring may take together; None: as long as it likes.
    `whole_s` is for all of it, exports included.
    """

    def __init__(
        self,
        clock_s: Callable[[], float],
        deadline_s: float,
        timed_s: float | None,
        whole_s: float = math.inf,
    ) -> None:
        self._clock_s = clock_s
        self._ends_s = clock_s() + whole_s
        self._deadline_s = deadline_s
        self._timed_s = timed_s
        self._timing_since_s: float | None = None
        self.time_was_up = False

    def __call__(self, phase: Phase | None) -> None:
        """A new phase, or None: another second of the present one."""
        now_s = self._clock_s()
        if phase is not None:
            if not phase.is_timed:
                self._timing_since_s = None
            elif self._timing_since_s is None:
                self._timing_since_s = now_s
        if now_s > self._deadline_s:
            self.time_was_up = True
            raise Abandoned("the study's time was up", "a longer budget=")
        if now_s > self._ends_s:
            raise Abandoned("it took a third of the search without a result", "a longer budget=")
        since_s = self._timing_since_s
        if self._timed_s is not None and since_s is not None and now_s - since_s > self._timed_s:
            raise Abandoned(f"it cannot win: it had been timed for {now_s - since_s:.0f} s")
