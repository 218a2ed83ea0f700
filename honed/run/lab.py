"""Lab: where Cases are measured and Records are kept. Sweeps and experiments are handed one.

`LocalLab` measures on this machine. A cluster is another Lab with the same four methods.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from honed.case import Case
from honed.errors import StoreError
from honed.phase import OnPhase, ignore_phase
from honed.record import Record
from honed.run import machine_lock
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
        Raises NotStoredError where the store refuses the Record.
        """

    def record(self, id: str) -> Record | None:
        """A stored Record; None if there is none of this id."""


class NotStoredError(StoreError):
    """The store refused a Record. The Lab keeps it, and stores it with the next one."""

    def __init__(self, record: Record, reason: StoreError) -> None:
        super().__init__(reason.message, reason.hint)
        self.record = record


class LocalLab:
    """Measures on this machine and keeps every Record in `store`."""

    def __init__(self, store: Store, on_wait: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self._on_wait = on_wait  # called while another process measures on this machine
        self._unstored: list[tuple[Record, str | None]] = []

    def clock_s(self) -> float:
        return time.monotonic()

    def alone(self) -> AbstractContextManager[None]:
        return machine_lock.alone(self.store.url, self._on_wait)

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        try:
            record = measure(case, on_phase)
        except InterruptedRun as interrupted:
            self.keep(interrupted.record, sweep)
            raise
        self.keep(record, sweep)
        return record

    def record(self, id: str) -> Record | None:
        try:
            return self.store.get(id)
        except StoreError:
            return None

    def keep(self, record: Record, sweep: str | None) -> None:
        """Store the Record, after those that the store refused before."""
        self._unstored.append((record, sweep))
        try:
            while self._unstored:
                earliest, its_sweep = self._unstored[0]
                self.store.append(earliest, sweep=its_sweep)
                del self._unstored[0]
        except StoreError as error:
            raise NotStoredError(record, error) from error
