"""The parent of one run: places, starts, listens, and turns whatever happens into a Record."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.backends.base import load_backend, traits
from honed.case import Case
from honed.errors import HonedError, UnsupportedError, UsageError
from honed.instruments.barrier import Barrier
from honed.knobs import applicable_knobs
from honed.machine import interference
from honed.machine.knobs import system
from honed.machine.spawn import Spawn, fold
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.run import merge, prepare
from honed.run.evaluate import Paths
from honed.run.job import BARRIERS, Job, read_checkpoint
from honed.run.prepare import Prepared
from honed.workers import failure, interpreter, start
from honed.workers.seat import Seat, seats
from honed.workers.start import Worker


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C in the middle of a Case; carries the Record that says so."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record


def measure(case: Case, on_phase: OnPhase = ignore_phase) -> Record:
    """Measure one Case. Returns a Record whatever happens, short of a UsageError or Ctrl-C."""
    began = time.monotonic()

    def elapsed_s() -> float:
        return time.monotonic() - began

    try:
        record = _measured(case, on_phase)
    except UsageError:
        raise
    except HonedError as error:
        record = merge.failure(case, failure.of_error(error))
    except KeyboardInterrupt:
        interrupted = failure.Death("interrupted", "Interrupted", "stopped by the user")
        record = replace(merge.failure(case, interrupted), elapsed_s=elapsed_s())
        raise InterruptedRun(record) from None
    return replace(record, elapsed_s=elapsed_s())


def _measured(case: Case, on_phase: OnPhase) -> Record:
    places = seats(case)
    backend = load_backend(case.backend)
    backend.check(case)
    elsewhere = case.python and interpreter.examine(case.python, case.backend)
    if not elsewhere and not (availability := backend.available()).ok:
        raise UnsupportedError(f"{case.backend}: {availability.why}", availability.how)
    prepared = prepare.ready(case) or _prepare(case, on_phase)
    with tempfile.TemporaryDirectory(prefix="honed-") as scratch:
        jobs = _jobs(case, places, prepared, Path(scratch))
        with system.changed(case.knobs, allowed=case.allow_system_changes):
            record = _run(case, jobs, prepared, on_phase)
    return merge.ran_by(record, elsewhere) if elsewhere else record


def _jobs(case: Case, seats: Sequence[Seat], prepared: Prepared, barriers: Path) -> list[Job]:
    for name in BARRIERS:
        Barrier.create(barriers / name, len(seats)).close()
    in_child = _spawn(case).in_child
    return [
        Job(
            kind="measure",
            case=case,
            result_fd=-1,
            parent_pid=os.getpid(),
            seat=seat,
            in_child=in_child,
            checkpoint=prepared.checkpoint,
            inputs=prepared.inputs,
            reference=prepared.reference,
            calibration=prepared.calibration,
            examples=prepared.evaluation.examples if prepared.evaluation else None,
            answers=prepared.evaluation.reference if prepared.evaluation else None,
            barriers=barriers,
        )
        for seat in seats
    ]


def _prepare(case: Case, on_phase: OnPhase) -> Prepared:
    """Run the preparing job in a process of its own; what stops it stops the Case."""
    job = Job("prepare", case.replace(python=None), -1, os.getpid())
    on_phase(Phase.PREPARING)
    with _started([job], [dict(os.environ)]) as workers:
        _listen(case, workers, on_phase)
        outcome = workers[0].outcome
        if outcome is None or outcome["event"] == "failed":
            raise failure.of_worker(workers[0]).as_error("making the model and its reference")
    return Prepared(
        read_checkpoint(outcome["checkpoint"]),
        Path(outcome["inputs"]),
        Path(outcome["reference"]),
        Path(outcome["calibration"]) if outcome["calibration"] else None,
        Paths(*map(Path, outcome["evaluation"])) if outcome["evaluation"] else None,
    )


def _run(case: Case, jobs: Sequence[Job], prepared: Prepared, on_phase: OnPhase) -> Record:
    environments = [_environment(case, job.seat) for job in jobs]
    watched = interference.Watch([c for job in jobs for c in job.seat.cpus] or None)
    memory_kills = failure.memory_kills()
    with _started(jobs, environments) as workers:
        _listen(case, workers, on_phase, watched)
        failed = [w for w in workers if w.outcome is None or w.outcome["event"] == "failed"]
        if failed:
            return merge.failure(case, failure.of_workers(workers, memory_kills))
        results = [w.outcome for w in workers if w.outcome is not None]
    return merge.record(jobs, results, prepared, watched)


def _spawn(case: Case) -> Spawn:
    """The spawn-phase knobs of the machine and of the chosen engine, folded into one start."""
    knobs = applicable_knobs(case)
    if case.python is not None:  # which packages are there is for that interpreter to say
        knobs = {
            name: replace(knob, available_value=None) if knob.owner else knob
            for name, knob in knobs.items()
        }
    return fold(case.knobs, os.environ, knobs)


def _environment(case: Case, seat: Seat) -> dict[str, str]:
    """The inherited environment with the case's spawn-phase knobs, and pools of the asked size."""
    environment = _spawn(case).environment
    if seat.threads is not None:
        names = traits(case.backend).thread_variables
        environment |= dict.fromkeys(names, str(seat.threads))
    return environment


@contextlib.contextmanager
def _started(
    jobs: Sequence[Job], environments: Sequence[dict[str, str]]
) -> Iterator[list[Worker]]:
    """Workers that are gone, with their children, when the block is left, however it is left."""
    workers: list[Worker] = []
    try:
        for index, (job, environment) in enumerate(zip(jobs, environments, strict=True)):
            workers.append(start.start(job, environment, index))
        yield workers
    finally:
        start.end(workers)
        start.close_logs(workers)


def _listen(case: Case, workers: Sequence[Worker], on_phase: OnPhase, watched: Any = None) -> None:
    """Follow all workers to their end. One failure ends the others: they wait for it in vain."""
    deadline_s = time.monotonic() + case.timeout_s
    try:
        for worker, event in start.follow(workers, deadline_s, lambda: on_phase(None)):
            if event["event"] == "phase":
                phase = Phase(event["phase"])
                if worker.index == 0:
                    on_phase(phase)
                if watched is not None:
                    watched.hear(phase)
            if event["event"] == "failed" or (worker.ended and worker.outcome is None):
                start.end(workers)
                return
    except TimeoutError:
        start.end(workers)
        for worker in workers:
            if worker.outcome is None:
                worker.outcome = failure.timed_out(case, worker.phase)
