"""The worker's side of the socket: calls are answered, and an idle worker tries shapes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from honed.case import Case
from honed.run.job import Job
from honed.serve import worker
from honed.serve.asks import Ask, Closed
from honed.serve.frames import Answer, AnswerReader, Call, Floats, call_frame


class FakeEngine:
    """Gives the length of each text, and remembers which shapes it was asked to try."""

    def __init__(self, fails: bool = False) -> None:
        self.case = SimpleNamespace(backend="fake")
        self.shapes_seen: set[tuple[int, int]] = {(1, 16)}
        self.tried: list[tuple[int, int]] = []
        self.fails = fails

    def try_shape(self, texts: int, width: int) -> None:
        self.tried.append((texts, width))
        if self.fails:
            raise RuntimeError("no memory")

    def rows(self, call: Call) -> Floats:
        return np.array([[len(ids)] for ids in call.ids], np.float32)


@contextmanager
def answering(engine: FakeEngine, *shapes: tuple[int, int]) -> Iterator[tuple[socket.socket, Any]]:
    """The front's end of a worker's socket, and a list that gets what the worker returns."""
    ours, theirs = socket.socketpair()
    ask = Ask("answer", Job("measure", Case(model="m")), descriptor=theirs.detach(), shapes=shapes)
    closed: list[Closed] = []
    thread = threading.Thread(
        target=lambda: closed.append(worker.answer_calls(ask, cast(worker.Engine, engine)))
    )
    thread.start()
    with ours:
        yield ours, closed
    thread.join(10)
    assert not thread.is_alive()


def answer_of(line: socket.socket) -> Answer:
    (answer,) = answers_of(line, 1)
    return answer


def answers_of(line: socket.socket, count: int) -> list[Answer]:
    reader, found = AnswerReader(), []
    while len(found) < count:
        found += reader.feed(line.recv(1 << 16))
    return found


def call(number: int, *lengths: int) -> bytes:
    return call_frame(Call(number, [np.zeros(n, np.int32) for n in lengths], max(lengths)))


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline_s, "the worker did not try in time"
        time.sleep(0.005)


@pytest.mark.parametrize("received", [20, 22, 24, 30])
def test_a_front_that_ends_in_the_middle_of_a_call_ends_the_worker(received: int) -> None:
    """The front was killed: there is nobody to answer, and nothing to say."""
    with answering(FakeEngine()) as (line, closed):
        line.sendall(call(1, 7, 5)[:received])
    assert closed[0].calls == 0


def test_calls_are_answered_until_the_front_closes() -> None:
    with answering(FakeEngine()) as (line, closed):
        line.sendall(call(1, 3, 70_000) + call(2, 5))
        first, second = answers_of(line, 2)
        assert (first.number, second.number) == (1, 2)
        assert first.rows is not None
        assert first.rows.tolist() == [[3], [70_000]]
        line.sendall(call(3, 7)[:9])
    assert closed[0].calls == 2


def test_an_idle_worker_tries_the_shapes_that_it_has_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_IDLE_S", 0.01)
    engine = FakeEngine()
    with answering(engine, (1, 8), (1, 16), (2, 8)) as (line, _):
        until(lambda: len(engine.tried) == 2)
        line.sendall(call(1, 4))
        assert answer_of(line).number == 1
    assert engine.tried == [(1, 8), (2, 8)]


def test_a_worker_with_calls_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_IDLE_S", 60.0)  # no pause of this machine is so long
    engine = FakeEngine()
    with answering(engine, (1, 8)) as (line, _):
        for number in range(20):
            line.sendall(call(number, 4))
            answer_of(line)
    assert engine.tried == []


def test_a_shape_that_fails_ends_the_trying_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_IDLE_S", 0.01)
    engine = FakeEngine(fails=True)
    with answering(engine, (1, 8), (2, 8)) as (line, _):
        until(lambda: bool(engine.tried))
        line.sendall(call(1, 4))
        assert answer_of(line).number == 1
    assert engine.tried == [(1, 8)]
