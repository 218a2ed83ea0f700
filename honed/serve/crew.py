"""The crew: workers that are seated, started, proven and ended, as those of a run are.

Every function here blocks. The front calls them in one thread that lives as long as the process,
because the kernel ends a worker when the thread that started it ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from honed.backends.base import load_backend, refuse_step
from honed.case import FEATURES, Case
from honed.errors import HonedError, NotInstalledError, UnsupportedError, UsageError
from honed.instruments import neighbours
from honed.knobs import all_knobs, belongs
from honed.machine import limits, thread_variables
from honed.machine.interference import Watch
from honed.models.checkpoint import Checkpoint
from honed.record import Record
from honed.run import merge, prepare
from honed.run.job import Job
from honed.run.parent import launches
from honed.serve.asks import Ask, Closed, Equipped, Ready, find_tokenizer
from honed.serve.seating import express_seats, last_cores
from honed.serve.settings import ServeSettings
from honed.serve.start_times import StartTimes
from honed.step import StepKind
from honed.workers import failure, interpreter
from honed.workers.channel import Result
from honed.workers.follow import follow
from honed.workers.seat import Seat, seats
from honed.workers.start import Launch, Worker, end, kill, start

_MODULE = "honed.serve.worker"
# Levels of nice: an express worker then gets three quarters of a core that it shares.
_GIVES_WAY = 5
TASKS = (FEATURES, "sequence-classification", "token-classification")


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """A loaded worker, and the front's end of its socket."""

    seat: Seat
    worker: Worker
    line: socket.socket
    ready: Ready


def served(case: Case) -> Case:
    """The Case as a server runs it: no passes and no examples, because nothing is measured, and no
    knob for calls of one shape, because batches have many."""
    refuse_step(case, StepKind.FORWARD)
    workload = Case(model=case.model).workload
    known = all_knobs()
    foreign = [
        key for key in case.knobs
        if not belongs(key, case.backend, workload) or known[key].one_shape
    ]  # fmt: skip
    return case.replace(
        passes=None, eval=None, eval_metric="auto", max_accuracy_drop=None, workload=workload,
        memory_limit=None, knobs=dict.fromkeys(foreign),
    )  # fmt: skip


def left_out_notice(case: Case) -> str:
    """What to tell the user whose words have a knob for calls of one shape; else empty."""
    known = all_knobs()
    left_out = [f"{key}={value}" for key, value in case.knobs.items() if known[key].one_shape]
    if not left_out:
        return ""
    return f"{', '.join(left_out)} is left out: the batches of a server have many shapes"


class Crew:
    """Starts and ends the workers of one Case."""

    def __init__(self, case: Case, settings: ServeSettings) -> None:
        self.case = case
        self.reserved = last_cores(settings.front_cores)
        self.places = seats(case, self.reserved)
        if case.sizes is not None and settings.express:
            raise UsageError(
                "express workers and sizes= both keep short texts from waiting for long ones",
                "give only one of the two",
            )
        self.express = express_seats(self.places, settings.express)
        usual = _GIVES_WAY if self.express else 0
        self._gives_way = usual if settings.gives_way is None else settings.gives_way
        self.equipped: Equipped | None = None
        self.times = StartTimes()
        self.longest = 0
        self._present: list[Worker] = []
        self._stopped = False
        self._begun: dict[Seat, tuple[Worker, socket.socket]] = {}  # processes without a model yet
        self._descriptors: dict[Worker, int] = {}  # of the workers' ends of the sockets
        self._kills_before: dict[Worker, int] = {}  # for memory, before the worker started
        self._watch = Watch([cpu for seat in self.places for cpu in seat.cpus] or None)
        backend = load_backend(case.backend)
        backend.check(case)
        elsewhere = case.python and interpreter.examine(case.python, case.backend)
        if not elsewhere and not (availability := backend.available()).ok:
            raise NotInstalledError(f"{case.backend}: {availability.why}", availability.how)

    @property
    def checkpoint(self) -> Checkpoint:
        assert self.equipped is not None, "a crew is equipped first"
        return self.equipped.prepared.checkpoint

    def begin(self) -> None:
        """Start the processes of the workers. They import what they need while the front looks for
        what they will be given."""
        self._begun = {seat: self._begin(seat) for seat in self.places}

    def equip(self, max_length: int | None = None) -> Equipped:
        """What the workers need; what is missing is made in a process of its own.

        Texts have `max_length` tokens at most, or fewer where the model has a limit of its own.
        """
        self.times.begin("preparing")
        prepared = prepare.ready(self.case)
        tokenizer = None
        if prepared is not None and prepared.checkpoint.has_tokenizer:
            tokenizer = find_tokenizer(prepared.checkpoint)
        if prepared is not None and (tokenizer or not prepared.checkpoint.has_tokenizer):
            self.equipped = Equipped(prepared, tokenizer)
        else:
            self.equipped = self._prepared_apart()
        task = self.checkpoint.task
        if task not in TASKS:
            raise UnsupportedError(
                f"honed serves {', '.join(TASKS)}, and this model's task is {task}",
                f"task={FEATURES}, for its embeddings",
            )
        limits_known = (self.checkpoint.max_positions, self.checkpoint.reading.longest, max_length)
        known = [limit for limit in limits_known if limit is not None]
        self.longest = min(known, default=self.case.sequence_length)
        return self.equipped

    def start(self, places: Sequence[Seat]) -> list[Started]:
        """Workers that have loaded the engine and proven their settings.

        They load at the same time. If one fails, all of them end, and its error is raised.
        """
        self.times.begin("starting workers")
        begun = [
            self._begun.pop(seat) if seat in self._begun else self._begin(seat) for seat in places
        ]
        workers = [worker for worker, _ in begun]
        try:
            if self._stopped:
                raise HonedError("the server is stopping", "start it again")
            for worker, seat in zip(workers, places, strict=True):
                assert self.equipped is not None
                job = Job("measure", self.case, seat, self.equipped.prepared)
                first = seat in self.places
                ask = Ask("load", job, self.longest, self.equipped.tokenizer,
                          gives_way=self._gives_way if first else 0, timed=first)  # fmt: skip
                worker.ask(ask, Ready)
            self._listen(workers)
            if not all(isinstance(worker.outcome, Result) for worker in workers):
                end(workers)
                failed = failure.of_workers(workers, killed_for_memory=self._killed(workers))
                raise failure.as_error(failed, "a worker could not start")
        except BaseException:
            self.end(workers)
            for _, line in begun:
                line.close()
            raise
        started = []
        for (worker, line), seat in zip(begun, places, strict=True):
            assert isinstance(worker.outcome, Result)
            started.append(Started(seat, worker, line, worker.outcome.answer))
        return started

    def record(self, started: Sequence[Started]) -> Record:
        """The proof of the workers, as a run records it: effective settings and fidelity.

        Raises HonedError where the outputs diverge from the fp32 reference.
        """
        assert self.equipped is not None
        self.times.begin("proving")
        results = [each.ready.measured for each in started]
        places = [each.seat for each in started]
        record = merge.record(self.case, places, results, self.equipped.prepared, self._watch)
        if record.status == "diverged" and record.error is not None:
            raise failure_of(record)
        if complaint := self._neighbours(started):
            raise HonedError(complaint, "see the settings without this drift: docs/serving.md")
        return record

    def neighbour_cosine(self, started: Sequence[Started]) -> float | None:
        """The least cosine between two outputs for the same text, as the first worker found it."""
        found = [c for each in started if (c := each.ready.neighbour_cosine) is not None]
        return min(found, default=None)

    def end(self, workers: Sequence[Worker]) -> None:
        """Kill these workers, and reap them."""
        end(workers)
        for worker in workers:
            self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        if worker.log is not None:
            worker.log.close()
        self._descriptors.pop(worker, None)
        self._kills_before.pop(worker, None)
        with contextlib.suppress(ValueError):
            self._present.remove(worker)

    def _killed(self, workers: Sequence[Worker]) -> bool:
        """Whether the kernel has killed some process for memory since these workers started."""
        now = limits.memory_kills()
        return any(now > self._kills_before.get(worker, now) for worker in workers)

    def end_all(self) -> None:
        self.end(list(self._present))
        for _, line in self._begun.values():
            line.close()
        self._begun.clear()

    def stop(self) -> None:
        """From any thread: kill the workers, also those that are being loaded, and start no other.
        Reaping them is left to the thread that started them."""
        self._stopped = True
        kill(list(self._present))

    def why_gone(self, worker: Worker) -> str:
        """Why a worker has died, after reaping it."""
        end([worker])
        worker.outcome, worker.ended_by_itself = None, True
        failed = failure.of_workers([worker], killed_for_memory=self._killed([worker]))
        why = failed.message.replace(f" while {worker.phase}", "")
        self._forget(worker)
        return why

    def _begin(self, seat: Seat) -> tuple[Worker, socket.socket]:
        """Start one worker with its end of a new pair of sockets."""
        kills = limits.memory_kills()
        ours, theirs = socket.socketpair()
        with theirs:
            launch = launches(self.case, [seat], _MODULE)[0]
            try:
                worker = start(replace(launch, descriptors=(theirs.fileno(),)), seat.index)
            except BaseException:
                ours.close()
                raise
            self._present.append(worker)
            self._descriptors[worker], self._kills_before[worker] = theirs.fileno(), kills
        ours.setblocking(False)
        return worker, ours

    def open(self, started: Started, shapes: Sequence[tuple[int, int]] = ()) -> None:
        """Let a loaded worker answer calls on its socket, and try the shapes while it is idle."""
        assert self.equipped is not None
        job = Job("measure", self.case, started.seat, self.equipped.prepared)
        descriptor = self._descriptors.pop(started.worker)
        ask = Ask("answer", job, self.longest, self.equipped.tokenizer, descriptor,
                  shapes=tuple(shapes))  # fmt: skip
        started.worker.ask(ask, Closed)

    def _prepared_apart(self) -> Equipped:
        worker = start(Launch(_MODULE, thread_variables.without(os.environ)))
        self._present.append(worker)
        try:
            worker.ask(Ask("prepare", Job("prepare", self.case.replace(python=None))), Equipped)
            self._listen([worker])
            if not isinstance(worker.outcome, Result):
                end([worker])
                raise failure.as_error(
                    failure.of_workers([worker]), "making the model and its reference"
                )
            equipped: Equipped = worker.outcome.answer
            return equipped
        finally:
            self.end([worker])

    def _listen(self, workers: Sequence[Worker]) -> None:
        deadline_s = time.monotonic() + self.case.timeout_s
        try:
            for worker, phase in follow(workers, deadline_s, lambda: None):
                if phase is not None and worker is workers[0]:
                    self.times.begin(phase.value)
                if phase is None and not isinstance(worker.outcome, Result):
                    return
        except TimeoutError:
            for worker in workers:
                if worker.outcome is None:
                    worker.outcome = failure.timed_out(self.case, worker.phase)

    def _neighbours(self, started: Sequence[Started]) -> str:
        """What is wrong if the user has set a limit to the drift; empty if nothing is."""
        least, allowed = self.neighbour_cosine(started), self.case.max_neighbour_drift
        if least is None or allowed is None or least >= 1 - allowed:
            return ""
        return (
            f"two outputs for the same text beside other texts have cosine {least:.4f}: more "
            f"than max_neighbour_drift={allowed:.4g} apart"
        )


def failure_of(record: Record) -> HonedError:
    """The error of a record that must not be served."""
    assert record.error is not None
    return HonedError(record.error.message, record.error.hint)


def drift_notice(case: Case, least: float | None) -> str:
    """What to tell the user where a text's output depends on its neighbours; else empty."""
    if least is None or least >= neighbours.TOLERANCES[case.precision]:
        return ""
    from honed.backends.base import traits

    steady = traits(case.backend).neighbour_free if case.precision == "int8" else ""
    way_out = f"; {steady} gives each text one output" if steady else ""
    return (
        f"the output for a text depends on the other texts of its batch: two outputs for the same "
        f"text have cosine {least:.4f}{way_out}. batch_rows=1 serves each text alone"
    )
