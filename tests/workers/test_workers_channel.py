"""A worker that is kept: asked again, closed, given up, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from our_workers import our_workers

from honed.case import Case
from honed.errors import HonedError, UnsupportedError
from honed.instruments.barrier import Barrier
from honed.phase import Phase
from honed.run import prepare
from honed.run.job import Job, Prepared
from honed.run.parent import measure
from honed.run.passes.base import Measured, passes_of
from honed.workers import failure
from honed.workers.channel import Failed, PhaseBegan, Result, event_line, read_event
from honed.workers.follow import follow
from honed.workers.seat import Seat
from honed.workers.start import Launch, Worker, running, start

LAUNCH = Launch("honed.run.worker", os.environ)


def case_of(**knobs: Any) -> Case:
    return Case(
        model="tiny", backend="fake", sequence_length=8, duration_s=0.1, warmup_s=0.1,
        memory=False, knobs={f"fake.{name}": value for name, value in knobs.items()},
    )  # fmt: skip


def job_for(case: Case, folder: Path) -> Job:
    prepared = prepare.ready(case)
    assert prepared is not None
    folder.mkdir()
    for each in passes_of(case).values():
        for name in each.BARRIERS:
            Barrier.create(folder / name, 1).close()
    return Job("measure", case, Seat(), prepared, folder)


def outcome(worker: Worker, timeout_s: float = 60) -> tuple[Any, list[Phase]]:
    deadline_s = time.monotonic() + timeout_s
    phases = [phase for _, phase in follow([worker], deadline_s, lambda: None) if phase]
    return worker.outcome, phases


@pytest.fixture(autouse=True)
def made() -> None:
    """The model and its reference are in the cache."""
    measure(case_of())


def test_one_worker_answers_two_requests_and_ends_when_it_is_closed(tmp_path: Path) -> None:
    with running([LAUNCH]) as (worker,):
        for index, latency_us in enumerate((500, 5000)):
            job = job_for(case_of(latency_us=latency_us), tmp_path / str(index))
            worker.ask(job, Measured)
            result, phases = outcome(worker)
            assert isinstance(result, Result)
            timing = result.answer.parts["timing"].timeline
            fastest_ns = min(e - b for b, e in zip(timing.began_ns, timing.ended_ns, strict=True))
            assert fastest_ns >= latency_us * 1000
            assert phases[0] is Phase.IMPORTING
            assert Phase.MEASURING in phases
        assert worker.exit_code is None
        assert worker.close() == 0
    assert not our_workers()


def test_requests_of_other_kinds_go_over_the_same_channel(tmp_path: Path) -> None:
    case = case_of()
    with running([LAUNCH]) as (worker,):
        worker.ask(Job("prepare", case), Prepared)
        prepared, _ = outcome(worker)
        assert isinstance(prepared, Result)
        assert prepared.answer == prepare.ready(case)
        worker.ask(job_for(case, tmp_path / "barriers"), Measured)
        assert isinstance(outcome(worker)[0], Result)


def test_a_worker_that_fails_says_why_and_ends(tmp_path: Path) -> None:
    with running([LAUNCH]) as (worker,):
        worker.ask(job_for(case_of(fail="raise"), tmp_path / "barriers"), Measured)
        failed, _ = outcome(worker)
        assert isinstance(failed, Failed)
        assert (failed.status, failed.kind) == ("crashed", "RuntimeError")
        assert worker.process.wait(timeout=10) == 0


def test_a_worker_that_dies_is_told_from_one_that_fails(tmp_path: Path) -> None:
    with running([LAUNCH]) as (worker,):
        worker.ask(job_for(case_of(fail="crash"), tmp_path / "barriers"), Measured)
        assert outcome(worker)[0] is None
        assert worker.ended_by_itself
        died = failure.of_workers([worker])
    assert died.kind == "WorkerDied"
    assert "SIGABRT" in died.message
    assert str(Phase.CHECKING) in died.message


def test_a_hang_is_given_up_and_the_worker_killed(tmp_path: Path) -> None:
    with running([LAUNCH]) as (worker,):
        worker.ask(job_for(case_of(fail="hang"), tmp_path / "barriers"), Measured)
        with pytest.raises(TimeoutError):
            outcome(worker, timeout_s=3)
        assert worker.phase is Phase.CHECKING
    assert worker.exit_code == -9
    assert not our_workers()


def test_a_kept_worker_dies_with_its_killed_parent() -> None:
    code = (
        "import os, sys, time; from honed.workers.start import Launch, start;"
        "worker = start(Launch('honed.run.worker', os.environ)); print('started', flush=True);"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    deadline_s = time.monotonic() + 30
    while not our_workers() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert our_workers()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while our_workers() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not our_workers()


def test_a_program_that_cannot_start_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="/nowhere/python"):
        start(Launch("honed.run.worker", os.environ, python="/nowhere/python"))


@pytest.mark.parametrize(
    "event",
    [
        PhaseBegan(Phase.WARMING_UP),
        Failed("oom", "OutOfMemoryError", "no memory", "a smaller batch"),
        Result(Prepared(None, {"inputs": Path("/a")})),
    ],
)
def test_events_come_back_as_they_were_sent(event: PhaseBegan | Failed | Result) -> None:
    assert read_event(event_line(event), Prepared) == event


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (HonedError("no such thing", "another"), "crashed", "no such thing"),
        (UnsupportedError("not here", "there"), "unsupported", "not here"),
        (MemoryError("cannot allocate"), "oom", "cannot allocate"),
        (ValueError("bad\n  value"), "crashed", "ValueError: bad value"),
        (KeyError(), "crashed", "KeyError: KeyError"),
    ],
)
def test_an_exception_becomes_a_status(error: Exception, status: str, message: str) -> None:
    failed = failure.of_exception(error)
    assert (failed.status, failed.message) == (status, message)
