"""Measure many Cases one after another: what is left, how long it may take, resuming."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed import environments
from honed.case import Case
from honed.compose import Sweep, compose
from honed.errors import HonedError, StoreError, UsageError
from honed.machine import limits
from honed.models import obtain
from honed.models.checkpoint import ModelRequest
from honed.models.flops import forward_flops
from honed.phase import Phase
from honed.record import Record
from honed.run.lab import Lab, NotStoredError
from honed.run.parent import InterruptedRun
from honed.run.passes.base import passes_of
from honed.step import FORWARD, StepKind
from honed.store import Store
from honed.workers.seat import seats
from honed.workloads.base import load_workload

# What a Case costs besides its calls on a small machine: imports, loading, proofs.
_OVERHEAD_S = 7.0
# What a server core reaches in fp32, roughly; the sweep corrects it as its Cases end.
_FLOPS_PER_CORE_S = 5e10
_CALLS_OUTSIDE = 25  # warm-up, fidelity, memory
_CALLS_OF_PASSES = 5  # without the warm-up
_TRAINING_FACTOR = 3  # two products of the backward pass for each one of the forward pass


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """Where a sweep stands. Times are monotonic seconds; `left_s` None: not known yet."""

    index: int
    total: int
    label: str
    phase: Phase
    phase_began_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The Cases of a sweep, and those of them that are not measured yet."""

    sweep: Sweep
    sweep_id: str
    todo: tuple[Case, ...]

    @property
    def done(self) -> int:
        return len(self.sweep.cases) - len(self.todo)

    @property
    def estimate_s(self) -> float:
        return sum(_estimate_s(c) for c in self.todo)


def plan_sweep(
    store: Store, words: Sequence[str], config: Path | None, *, resume: bool
) -> SweepPlan:
    """The Cases of `words` and `config`; with `resume`, those that an earlier sweep left over.

    Raises UsageError for mistakes that can be seen before anything runs.
    """
    if resume and not words and config is None:
        last = store.last_sweep()
        if last is None:
            raise UsageError("there is no sweep to resume", "start one: honed run model=NAME")
        sweep = Sweep(last.cases, last.varying)
        return _remaining(store, sweep, last.id)
    sweep = compose(words, config)
    for case in sweep.cases:
        check(case)
    if resume and (earlier := store.find_sweep(sweep.cases)) is not None:
        return _remaining(store, sweep, earlier)
    return SweepPlan(sweep, store.add_sweep(sweep.cases, sweep.varying), sweep.cases)


def check(case: Case) -> None:
    """Refuse what cannot be placed or does not exist, before anything has run: UsageError."""
    seats(case)
    passes_of(case)
    if case.python is not None:
        environments.interpreter(case.python)  # refuses a name that means nothing


def _remaining(store: Store, sweep: Sweep, sweep_id: str) -> SweepPlan:
    finished = store.finished(sweep_id)
    return SweepPlan(sweep, sweep_id, tuple(c for c in sweep.cases if c.id not in finished))


def run_sweep(
    plan: SweepPlan, lab: Lab, on_progress: Callable[[SweepProgress], None]
) -> Iterator[Record]:
    """Measure what is left; the Lab stores each Record as soon as it exists.

    Ctrl-C yields one last Record, of the interrupted Case, and ends the sweep. The Lab tries
    again to store Records that the store refused; Records that could not be stored by the end
    are written to a file, and the StoreError names it.
    """
    unstored: list[Record] = []
    clock = _Clock(plan, on_progress)
    for index, case in enumerate(plan.todo):
        clock.begin(index)
        try:
            record = lab.measure(case, plan.sweep_id, clock.phase)
            unstored.clear()
        except InterruptedRun as interrupted:
            record = interrupted.record
            unstored.clear()
        except NotStoredError as fault:
            record = fault.record
            unstored.append(record)
        yield record
        if record.status == "interrupted":
            break
        clock.end()
    if unstored:
        _rescue(unstored)


def _rescue(records: Sequence[Record]) -> None:
    descriptor, path = tempfile.mkstemp(prefix="honed-unsaved-", suffix=".jsonl", text=True)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(json.dumps(r.to_json()) + "\n" for r in records)
    raise StoreError(
        f"{len(records)} records could not be stored; they are in {path}",
        "make room where HONED_STORE (by default ./.honed) lies",
    )


class _Clock:
    """Turns phases into SweepProgress, and corrects the estimate by each finished Case."""

    def __init__(self, plan: SweepPlan, on_progress: Callable[[SweepProgress], None]) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self._estimates = [_estimate_s(c) for c in plan.todo]
        self._index = 0
        self._ratio = 1.0
        self._spent_s = 0.0
        self._began_s = self._phase_began_s = time.monotonic()
        self._phase = Phase.STARTING

    def begin(self, index: int) -> None:
        self._index = index
        self._began_s = time.monotonic()
        self.phase(Phase.STARTING)

    def end(self) -> None:
        self._spent_s += time.monotonic() - self._began_s
        self._ratio = self._spent_s / sum(self._estimates[: self._index + 1])

    def phase(self, phase: Phase | None) -> None:
        """A new phase, or None: another second of the present one."""
        if phase is not None:
            self._phase, self._phase_began_s = phase, time.monotonic()
        elapsed_s = time.monotonic() - self._began_s
        current_s = self._estimates[self._index] * self._ratio - elapsed_s
        later_s = sum(self._estimates[self._index + 1 :]) * self._ratio
        case = self._plan.todo[self._index]
        index, sweep = self._plan.done + self._index + 1, self._plan.sweep
        label, left_s = case.label(sweep.varying), max(0.0, current_s) + later_s
        self._on_progress(
            SweepProgress(index, len(sweep.cases), label, self._phase, self._phase_began_s, left_s)
        )


def _estimate_s(case: Case) -> float:
    """How long a Case may take, by the FLOPs of its calls."""
    call_s = 0.0
    with contextlib.suppress(HonedError):  # a wrong model is reported when the Case runs
        cores = case.threads or max(1, limits.read().effective_count // case.instances)
        call_s = _call_flops(case) / (cores * _FLOPS_PER_CORE_S)
    processes: int = getattr(load_workload(case.workload), "PROCESSES", 1)
    if processes > 1:  # a search, whose tries have a length of their own
        return processes * (_OVERHEAD_S + _CALLS_OUTSIDE * call_s)
    steps, warmups = case.get("steps"), case.get("warmup_steps")
    measuring_s = max(case.duration_s, case.min_samples * call_s)
    if steps is not None:
        measuring_s = int(steps) * call_s
    outside = _CALLS_OUTSIDE if warmups is None else int(warmups) + _CALLS_OF_PASSES
    return _OVERHEAD_S + outside * call_s + measuring_s


def _call_flops(case: Case) -> float:
    """0 where they are not known: a model that is not here yet, or a family without a formula."""
    workload, shape = load_workload(case.workload), (case.batch_size, case.sequence_length)
    if not workload.STEP.needs_checkpoint:
        import numpy as np

        ones = np.broadcast_to(np.int64(1), shape)
        batch = {"input_ids": ones, "attention_mask": ones}
        return workload.work_per_call(case, None, batch, False).flops or 0.0
    known = obtain.config_of(ModelRequest.from_case(case))
    if known is None:
        return 0.0
    forward = float(forward_flops(known[0], *shape, known[1]) or 0)
    trains = workload.STEP is StepKind.TRAINING and case.get("until") != FORWARD
    return forward * (_TRAINING_FACTOR if trains else 1)
