"""Many Cases, one after another: what is left to do, how long it may take, nothing ever lost."""

from __future__ import annotations

import contextlib
import json
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
from honed.models.checkpoint import ModelRequest
from honed.models.flops import forward_flops
from honed.models.obtain import locate
from honed.phase import Phase
from honed.record import Record
from honed.run.lab import Lab, NotStoredError
from honed.run.parent import InterruptedRun
from honed.store import Store
from honed.workers.seat import seats

# What a Case costs besides its calls on a small machine: imports, loading, proofs.
_OVERHEAD_S = 7.0
# What a server core reaches in fp32, roughly; the sweep corrects it as its Cases end.
_FLOPS_PER_CORE_S = 5e10
_CALLS_OUTSIDE = 25  # warm-up, fidelity, memory


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sweep stands. Times are monotonic seconds; `left_s` None: not known yet."""

    index: int
    total: int
    label: str
    phase: Phase
    phase_began_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What will run, and what of it is done already."""

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
    """The Cases of `words` and `config`; with `resume`, those the last sweep of them left.

    Raises UsageError for what can be known to be wrong before anything runs.
    """
    if resume and not words and config is None:
        last = store.last_sweep()
        if last is None:
            raise UsageError("there is no sweep to resume", "start one: honed run model=NAME")
        sweep = Sweep(last.cases, last.varying)
        return _remaining(store, sweep, last.id)
    sweep = compose(words, config)
    for case in sweep.cases:
        seats(case)  # refuses what cannot fit before anything has run
        if case.python is not None:
            environments.interpreter(case.python)  # refuses a name that means nothing
    if resume and (earlier := store.find_sweep(sweep.cases)) is not None:
        return _remaining(store, sweep, earlier)
    return SweepPlan(sweep, store.add_sweep(sweep.cases, sweep.varying), sweep.cases)


def _remaining(store: Store, sweep: Sweep, sweep_id: str) -> SweepPlan:
    finished = store.finished(sweep_id)
    return SweepPlan(sweep, sweep_id, tuple(c for c in sweep.cases if c.id not in finished))


def run_sweep(
    plan: SweepPlan, lab: Lab, on_progress: Callable[[Progress], None]
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
    lines = "".join(json.dumps(r.to_json()) + "\n" for r in records)
    with tempfile.NamedTemporaryFile(
        "w", prefix="honed-unsaved-", suffix=".jsonl", delete=False
    ) as file:
        file.write(lines)
    raise StoreError(
        f"{len(records)} records could not be stored; they are in {file.name}",
        "make room where HONED_STORE (by default ./.honed) lies",
    )


class _Clock:
    """Turns phases into Progress; learns from each finished Case how good the estimate is."""

    def __init__(self, plan: SweepPlan, tell: Callable[[Progress], None]) -> None:
        self._plan = plan
        self._tell = tell
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
        here_s = time.monotonic() - self._began_s
        current_s = self._estimates[self._index] * self._ratio - here_s
        later_s = sum(self._estimates[self._index + 1 :]) * self._ratio
        case = self._plan.todo[self._index]
        self._tell(
            Progress(
                index=self._plan.done + self._index + 1,
                total=len(self._plan.sweep.cases),
                label=label(case, self._plan.sweep.varying),
                phase=self._phase,
                phase_began_s=self._phase_began_s,
                left_s=max(0.0, current_s) + later_s,
            )
        )


def label(case: Case, varying: Sequence[str] = ()) -> str:
    """`bert-base-uncased torch int8 1x128`, and what else varies."""
    lengths = Path(case.lengths).name if case.lengths else case.sequence_length
    shape = f"{case.batch_size}x{lengths}"
    named = {"model", "backend", "precision", "batch_size", "sequence_length", "lengths"}
    more = [f"{k}={case.get(k)}" for k in varying if k not in named and case.get(k) is not None]
    return " ".join([Path(case.model).name, case.backend, case.precision, shape, *more])


def _estimate_s(case: Case) -> float:
    """Before anything has run: its calls by their arithmetic, where the model is here already."""
    call_s = 0.0
    with contextlib.suppress(HonedError):  # a model that is wrong says so when it is its turn
        checkpoint = locate(ModelRequest.from_case(case))
        if checkpoint is not None:
            shape = case.batch_size, case.sequence_length
            flops = forward_flops(checkpoint.config, *shape, checkpoint.task) or 0
            cores = case.threads or max(1, limits.read().effective_count // case.instances)
            call_s = flops / (cores * _FLOPS_PER_CORE_S)
    measuring_s = max(case.duration_s, case.min_samples * call_s)
    return _OVERHEAD_S + _CALLS_OUTSIDE * call_s + measuring_s
