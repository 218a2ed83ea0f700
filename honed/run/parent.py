"""The parent of one run: seat, start, follow, and turn whatever happens into a Record."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from honed.backends.base import deliverer, load_backend, refuse_budget, traits
from honed.case import Case
from honed.errors import HonedError, NotInstalledError, UnsupportedError, UsageError
from honed.instruments.barrier import Barrier
from honed.knobs import applicable_knobs
from honed.machine import ceiling, limits, thread_variables
from honed.machine.ceiling import Ceiling
from honed.machine.interference import Watch
from honed.machine.knobs import system
from honed.machine.spawn import fold
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.run import build, merge, prepare
from honed.run.deliver import Delivered
from honed.run.job import Job, Prepared
from honed.run.passes.base import Measured, passes_of
from honed.step import StepKind
from honed.units import size_bytes
from honed.workers import failure, interpreter
from honed.workers.channel import Failed, Result
from honed.workers.follow import follow
from honed.workers.seat import Seat, seats
from honed.workers.start import Launch, Worker, end, running
from honed.workloads.base import load_workload

_MODULE = "honed.run.worker"


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C in the middle of a Case; carries the Record with the status "interrupted"."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record


def measure(case: Case, on_phase: OnPhase = ignore_phase) -> Record:
    """Measure one Case. Returns a Record whatever happens, short of a UsageError or Ctrl-C."""
    began = time.monotonic()
    try:
        record = _measured(case, on_phase)
    except UsageError:
        raise
    except HonedError as error:
        record = merge.failure(case, failure.of_exception(error))
    except KeyboardInterrupt:
        record = merge.failure(case, Failed("interrupted", "Interrupted", "stopped by the user"))
        raise InterruptedRun(replace(record, elapsed_s=time.monotonic() - began)) from None
    return replace(record, elapsed_s=time.monotonic() - began)


def deliver(case: Case, out: Path, on_phase: OnPhase = ignore_phase) -> Delivered:
    """Fill the folder `out` with the Case's model files, and with outputs to check them by.

    Raises what stopped it: UnsupportedError for what no files can hold, HonedError otherwise.
    """
    if not passes_of(case) or load_workload(case.workload).STEP is not StepKind.FORWARD:
        raise UnsupportedError(
            f"workload={case.workload} leaves no files: the forward pass is what is delivered",
            "a record or study of workload=closed_loop, clients or poisson",
        )
    deliverer(case)
    seat = seats(case)[0]
    backend = load_backend(case.backend)
    backend.check(case)
    if not (availability := backend.available()).ok:
        raise NotInstalledError(f"{case.backend}: {availability.why}", availability.how)
    prepared = prepare.ready(case) or _prepare(case, on_phase)
    if prepared.checkpoint.engine_files is not None:
        raise UsageError(f"{case.model} is a delivered folder already", "copy it")
    with running(launches(case, [seat])) as workers:
        workers[0].ask(Job("deliver", case, seat, prepared, out=out), Delivered)
        _listen(case, workers, on_phase)
        if not isinstance(workers[0].outcome, Result):
            raise failure.as_error(failure.of_workers(workers), "writing the model's files")
        delivered: Delivered = workers[0].outcome.answer
    return delivered


def launches(case: Case, places: Sequence[Seat], module: str = _MODULE) -> list[Launch]:
    """How the worker of each seat starts: the spawn-phase knobs and pools of the asked size;
    `module` is what it runs.

    Variables of the shell that move or limit threads are not inherited.
    """
    knobs = applicable_knobs(case)
    if case.python is not None:  # which packages are there is for that interpreter to say
        knobs = {
            name: replace(knob, available_value=None) if knob.owner else knob
            for name, knob in knobs.items()
        }
    spawn = fold(case.knobs, thread_variables.without(os.environ), knobs)

    def launch(seat: Seat) -> Launch:
        variables = () if seat.threads is None else traits(case.backend).thread_variables
        environment = spawn.environment | dict.fromkeys(variables, str(seat.threads))
        return Launch(module, environment, seat, spawn.in_child, case.python)

    return [launch(seat) for seat in places]


def _measured(case: Case, on_phase: OnPhase) -> Record:
    places = seats(case)
    if not passes_of(case):
        raise UsageError(
            f"workload={case.workload} is a search over many Cases, and this measures one",
            f"honed run workload={case.workload} model=NAME",
        )
    backend = load_backend(case.backend)
    backend.check(case)
    refuse_budget(case)
    elsewhere = case.python and interpreter.examine(case.python, case.backend)
    if not elsewhere and not (availability := backend.available()).ok:
        raise NotInstalledError(f"{case.backend}: {availability.why}", availability.how)
    prepared = prepare.ready(case) or _prepare(case, on_phase)
    if case.memory_limit is not None:
        _export(case, places[0], prepared, on_phase)
    with system.changed(case.knobs, allowed=case.allow_system_changes), _roof(case) as roof:
        record = _run(case, places, prepared, on_phase, roof)
    return merge.ran_by(record, elsewhere) if elsewhere else record


def _prepare(case: Case, on_phase: OnPhase) -> Prepared:
    """Run the preparing job in a process of its own; what stops it stops the Case."""
    on_phase(Phase.PREPARING)
    with running([Launch(_MODULE, thread_variables.without(os.environ))]) as workers:
        workers[0].ask(Job("prepare", case.replace(python=None)), Prepared)
        _listen(case, workers, on_phase)
        if not isinstance(workers[0].outcome, Result):
            failed = failure.of_workers(workers)
            raise failure.as_error(failed, "making the model and its reference")
        prepared: Prepared = workers[0].outcome.answer
    return prepared


@contextlib.contextmanager
def _roof(case: Case) -> Iterator[Ceiling | None]:
    """The ceiling of the workers' memory, if the Case has one."""
    if case.memory_limit is None:
        yield None
        return
    with ceiling.ceiling(size_bytes(case.memory_limit), case.instances) as roof:
        yield roof


def _export(case: Case, place: Seat, prepared: Prepared, on_phase: OnPhase) -> None:
    """Make the engine's artifact before the workers start under a ceiling: exporting takes more
    memory than running, and is not what is asked about."""
    on_phase(Phase.EXPORTING)
    with running(launches(case, [place])) as workers:
        workers[0].ask(Job("build", case, place, prepared), build.Built)
        _listen(case, workers, on_phase)
        if not isinstance(workers[0].outcome, Result):
            raise failure.as_error(failure.of_workers(workers), "the export failed")


def _run(
    case: Case,
    places: Sequence[Seat],
    prepared: Prepared,
    on_phase: OnPhase,
    roof: Ceiling | None = None,
) -> Record:
    watch = Watch([cpu for seat in places for cpu in seat.cpus] or None)
    memory_kills = limits.memory_kills()
    with (
        tempfile.TemporaryDirectory(prefix="honed-") as folder,
        running([replace(each, roof=roof) for each in launches(case, places)]) as workers,
    ):
        for barrier in {name for each in passes_of(case).values() for name in each.BARRIERS}:
            Barrier.create(Path(folder) / barrier, len(places)).close()
        for worker, seat in zip(workers, places, strict=True):
            if roof is not None:
                roof.admit(worker.process.pid)
            worker.ask(Job("measure", case, seat, prepared, Path(folder)), Measured)
        _listen(case, workers, on_phase, watch)
        results = [w.outcome.answer for w in workers if isinstance(w.outcome, Result)]
        if len(results) < len(workers):
            killed = limits.memory_kills() > memory_kills or bool(roof and roof.kills)
            failed = failure.of_workers(workers, killed_for_memory=killed)
            return merge.failure(case, failed)
    return merge.record(case, places, results, prepared, watch)


def _listen(
    case: Case, workers: Sequence[Worker], on_phase: OnPhase, watch: Watch | None = None
) -> None:
    """Follow all workers to their end. One failure ends the others: they wait for it in vain."""
    deadline_s = time.monotonic() + case.timeout_s
    try:
        for worker, phase in follow(workers, deadline_s, lambda: on_phase(None)):
            if phase is not None and worker.index == 0:
                on_phase(phase)
            if phase is not None and watch is not None:
                watch.hear(phase)
            if phase is None and not isinstance(worker.outcome, Result):
                end(workers)
                return
    except TimeoutError:
        end(workers)
        for worker in workers:
            if worker.outcome is None:
                worker.outcome = failure.timed_out(case, worker.phase)
