"""FakeLab: a Lab that computes numbers instead of starting processes, with a clock of its own."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from records import failed_record, make_record

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.run.parent import InterruptedRun


class FakeLab:
    """A process takes `cost_s` and has the median latency `latency_s(case)`, times its own luck.

    `failing` names the status of Cases that fail. `exports` is how many processes of a Case export
    first. After `interrupt_after` processes the next one is interrupted by Ctrl-C. Reading the
    clock takes `tick_s`.
    """

    def __init__(
        self, latency_s: Callable[[Case], float] = lambda _: 0.01, noise: float = 0.01
    ) -> None:
        self.latency_s = latency_s
        self.noise: float | Callable[[Case], float] = noise
        self.luck: Callable[[], float] | None = None  # of the next process, as a logarithm
        self.cost_s = 8.0
        self.tick_s = 0.0
        self.now_s = 0.0
        self.failing: Callable[[Case], str | None] = lambda _: None
        self.exports: Callable[[Case], int] = lambda _: 0
        self.interrupt_after: int | None = None
        self.fields: dict[str, Any] = {}  # of every Record
        self.measured: list[Case] = []
        self.records: dict[str, Record] = {}
        self.sweeps: dict[str, str | None] = {}
        self._times: Counter[Case] = Counter()
        self._rng = random.Random(7)
        self._ids = itertools.count()

    def seed(self, number: int) -> None:
        """Draw other noise."""
        self._rng.seed(number)

    def clock_s(self) -> float:
        self.now_s += self.tick_s
        return self.now_s

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def record(self, id: str) -> Record | None:
        return self.records.get(id)

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        if self.interrupt_after is not None and len(self.measured) >= self.interrupt_after:
            stopped = failed_record("interrupted", "stopped by the user", case=case.to_json())
            raise InterruptedRun(self._stored(stopped, sweep))
        self.measured.append(case)
        self._times[case] += 1
        try:
            on_phase(Phase.LOADING)
            self.now_s += self.cost_s
            on_phase(Phase.MEASURING)
        except UsageError:
            raise
        except HonedError as error:  # as the parent of a run does
            return self._stored(
                failed_record(error.status, str(error), case=case.to_json()), sweep
            )
        return self._stored(self._record(case), sweep)

    def _record(self, case: Case) -> Record:
        status = self.failing(case)
        if status not in (None, "diverged", "unproven"):
            return failed_record(status, "as the test asked", "fix it", case.to_json())
        noise = self.noise(case) if callable(self.noise) else self.noise
        luck = self.luck() if self.luck is not None else self._rng.gauss(0.0, noise)
        record = make_record(
            case.to_json(),
            p50_s=self.latency_s(case) * math.exp(luck),
            calls=20,
            spread=0.001,
            seed=next(self._ids),
            **{"elapsed_s": self.cost_s, **self.fields},
        )
        if self._times[case] <= self.exports(case) and record.metrics is not None:
            record = replace(record, metrics=replace(record.metrics, build_s=3.0))
        if status is not None:
            error = failed_record(status, "as the test asked", "fix it").error
            record = replace(record, status=status, error=error)
        return record

    def _stored(self, record: Record, sweep: str | None) -> Record:
        record = replace(record, id=f"r{next(self._ids)}")
        self.records[record.id] = record
        self.sweeps[record.id] = sweep
        return record
