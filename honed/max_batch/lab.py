"""The Lab that answers a Case of `workload=max_batch` with a search, and measures all others."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace

from honed.case import Case
from honed.knobs import filled_in
from honed.max_batch.found import NAME, Try
from honed.max_batch.predict import growth
from honed.max_batch.search import Search
from honed.phase import OnPhase, ignore_phase
from honed.record import Record
from honed.run.lab import LocalLab
from honed.run.parent import InterruptedRun
from honed.store import Store


class SearchingLab(LocalLab):
    """Tries are stored under sweeps of their own, and the answer under the sweep that asked.

    `on_try` is told each try as it ends.
    """

    def __init__(self, store: Store, on_try: Callable[[Try], None] = lambda _: None) -> None:
        super().__init__(store)
        self._on_try = on_try

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        if case.workload != NAME:
            return super().measure(case, sweep, on_phase)
        inner = LocalLab(self.store)
        search = Search(case, inner, secrets.token_hex(4), on_phase, growth, self._on_try)
        try:
            record = search.run()
        except InterruptedRun as interrupted:
            stopped = interrupted.record
            stopped = replace(stopped, id=uuid.uuid4().hex[:12], case=filled_in(case))
            self.keep(stopped, sweep)
            raise InterruptedRun(stopped) from None
        self.keep(record, sweep)
        return record
