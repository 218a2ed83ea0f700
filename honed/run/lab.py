"""Lab: where Cases are measured and Records are kept. Sweeps and experiments are handed one.

`LocalLab` measures on this machine. A cluster is another Lab with the same four methods.
"""

from __future__ import annotations

import contextlib
import time
from contextlib import AbstractContextManager
from typing import Protocol

from honed.case import Case
from honed.errors import StoreError
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.run.parent import InterruptedRun, measure
from honed.store import Store


class Lab(Protocol):
    """What an experiment needs of the world; tests hand in a landscape of numbers."""

    def clock_s(self) -> float:
        """Seconds since some fixed moment."""

    def alone(self) -> AbstractContextManager[None]:
        """No other process that asks the same measures on this machine inside the block."""

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        """Measure one Case in fresh processes and store its Record under `sweep` at once.

        On Ctrl-C the Record of the interrupted Case is stored, and InterruptedRun raised. What
        `on_phase` raises ends the measurement; a HonedError then becomes the Record's status.
        """

    def record(self, id: str) -> Record | None:
        """A stored Record; None if there is none of this id."""


class LocalLab:
    """Measures on this machine and keeps every Record in `store`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def clock_s(self) -> float:
        return time.monotonic()

    def alone(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        try:
            record = measure(case, lambda phase: on_phase(Phase(phase) if phase else None))
        except InterruptedRun as stopped:
            self.store.append(stopped.record, sweep=sweep)
            raise
        self.store.append(record, sweep=sweep)
        return record

    def record(self, id: str) -> Record | None:
        try:
            return self.store.get(id)
        except StoreError:
            return None
