"""One process of a Case, measured through a Lab: its time per call, or why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from honed.case import Case
from honed.errors import HonedError
from honed.experiment.policy import COMPARE, Policy
from honed.measures import MEASURES
from honed.phase import Phase
from honed.record import Error, Record
from honed.run.lab import Lab

Metric = str  # one of `honed.measures.COMPARED`: "latency", "throughput"


@dataclass(frozen=True, slots=True)
class Draw:
    """One process that counts. `value` is its metric, `log_time` the logarithm of its time per
    call or sequence."""

    value: float
    log_time: float
    record: Record

    @classmethod
    def of(cls, record: Record, metric: Metric) -> Draw | None:
        """None if the record does not count, or lacks the metric."""
        value = value_of(record, metric)
        return None if not value else cls(value, log_time(value, metric), record)

    @property
    def record_id(self) -> str:
        return self.record.id


@dataclass(frozen=True, slots=True)
class Failure:
    """A process without a result that counts, and why."""

    side: str
    status: str
    message: str
    hint: str
    record: str | None


class TrialFailed(Exception):  # noqa: N818 - an outcome that ends an experiment, not a fault
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TimeUp(HonedError):  # noqa: N818 - an outcome, not a fault
    """The experiment's time ended while a process was being measured."""

    status = "timeout"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was measured. `value` is its metric; None if the Record has none or must not
    count. `counted` is false for a process that exported its model before it was timed."""

    side: str
    block: int
    record: Record
    value: float | None
    counted: bool


@dataclass(slots=True)
class Experiment:
    """Measures processes through `lab`, stores their Records under `sweep`, and remembers them.

    `before` is called before each process (to read the sentinel); `on_phase` with the side and
    the worker's phase, or None about once a second while a phase goes on.
    """

    lab: Lab
    sweep: str
    metric: Metric = "latency"
    policy: Policy = COMPARE
    before: Callable[[], None] = lambda: None
    on_phase: Callable[[str, Phase | None], None] = lambda _side, _phase: None
    processes: list[Process] = field(default_factory=list)

    def draw(self, side: str, case: Case, block: int, until_s: float = math.inf) -> Draw | Failure:
        """Measure one process of `case`, and another one if it exported its model first: the
        export leaves the machine in another state than the other processes find.

        At `until_s` on the lab's clock the measurement is broken off and TimeUp raised: a process
        that ran out of time has not failed. Ctrl-C is raised once the Lab has stored the Record.
        """
        for redraw in range(self.policy.most_redraws + 1):
            self.before()
            record = self._measured(side, case, until_s)
            exported = record.metrics is not None and record.metrics.build_s > 0
            counted = not exported or redraw == self.policy.most_redraws
            drawn = Draw.of(record, self.metric)
            value = None if drawn is None else drawn.value
            self.processes.append(Process(side, block, record, value, counted))
            if drawn is None:
                return _failure(side, record)
            if counted:
                return drawn
        raise AssertionError("the last process counts")

    def _measured(self, side: str, case: Case, until_s: float) -> Record:
        time_was_up = False

        def on_phase(phase: Phase | None) -> None:
            nonlocal time_was_up
            self.on_phase(side, phase)
            if self.lab.clock_s() > until_s:
                time_was_up = True
                raise TimeUp("the time of the experiment was up", "give it a larger budget")

        self.on_phase(side, Phase.STARTING)
        record = self.lab.measure(case, self.sweep, on_phase)
        if time_was_up:
            raise TimeUp("the time of the experiment was up", "give it a larger budget")
        return record


def value_of(record: Record, metric: Metric) -> float | None:
    """The metric of one process, in the unit of its measure. None if the Record has no result, or
    if its outputs or settings are not what was asked for."""
    return MEASURES[metric].value(record) if record.ok else None


def log_time(value: float, metric: Metric) -> float:
    """The logarithm of the time per call or per sequence: larger is slower."""
    return MEASURES[metric].log_time(value)


def _failure(side: str, record: Record) -> Failure:
    error = record.error or Error("NoMetric", "the record has no such metric", "--metric latency")
    return Failure(side, record.status, error.message, error.hint, record.id)
