"""Requests over kept-alive connections, by one thread that waits for all of them at once.

The load shares the machine with the server that it measures, so it has to be cheap: no HTTP
library, no thread for each client, and only a count of the vectors of an answer.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from honed.machine import priority

_END = b"\r\n\r\n"
_MOST_WIRES = 900  # select takes file numbers below 1024
_SILENT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Times are of time.perf_counter; `intended_s` is when it should have been sent.

    `vectors` counts the rows of the body's outer list.
    """

    place: int
    status: int
    intended_s: float
    sent_s: float
    ended_s: float
    head: bytes
    vectors: int

    @property
    def took_s(self) -> float:
        return self.ended_s - self.intended_s

    def timing_ms(self, name: str) -> float | None:
        """One number of the header `server-timing`."""
        _, found, rest = self.head.partition(name.encode() + b";dur=")
        return float(rest.partition(b",")[0].partition(b"\r")[0]) if found else None


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection, with at most one request on its way."""

    socket: socket.socket
    place: int = -1
    intended_s: float = 0.0
    sent_s: float = 0.0
    head_end: int = -1
    total: int = 0
    received: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Take what has come; whether the answer is whole."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        self.received += part
        if self.head_end < 0:
            self.head_end = self.received.find(_END)
            if self.head_end < 0:
                return False
            head = bytes(self.received[: self.head_end]).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.total = self.head_end + len(_END) + int(length)
        return len(self.received) >= self.total

    def answer(self, ended_s: float, before_vector: bytes) -> Answer:
        head = bytes(self.received[: self.head_end])
        count = self.received.count(before_vector, self.head_end)
        vectors = count - (before_vector == b"[")  # the list of all of them
        found = Answer(self.place, int(head[9:12]), self.intended_s, self.sent_s, ended_s, head,
                       vectors)  # fmt: skip
        self.received.clear()
        self.head_end = -1
        return found


class Load:
    """The requests of one server. `before_vector` stands before each vector of an answer."""

    def __init__(self, port: int, requests: Sequence[bytes], before_vector: bytes = b"[") -> None:
        self._port, self._requests, self._before_vector = port, requests, before_vector
        self._busy: dict[int, _Wire] = {}
        self._idle: list[_Wire] = []

    def __enter__(self) -> Load:
        priority.ask_for_slices(1e-4)  # to send in time on cores that the server keeps busy
        return self

    def __exit__(self, *_: object) -> None:
        for wire in [*self._busy.values(), *self._idle]:
            wire.socket.close()

    def closed(self, clients: int, seconds: float) -> list[Answer]:
        """Each client sends the next request when it has its answer."""
        for wire in self._idle:  # some servers close what has been idle for seconds
            wire.socket.close()
        self._idle.clear()
        end_s = time.perf_counter() + seconds
        place = 0
        for place in range(clients):
            self._send(place, time.perf_counter())
        found = []
        while self._busy:
            for answer in self._wait(None):
                found.append(answer)
                if answer.status == 200 and answer.ended_s < end_s:
                    place += 1
                    self._send(place, answer.ended_s)
        return found

    def open(self, offsets_s: Sequence[float], places: Sequence[int]) -> list[Answer]:
        """Each request at its time, whether or not earlier ones have been answered."""
        found: list[Answer] = []
        began_s, sent = time.perf_counter(), 0
        while sent < len(offsets_s) or self._busy:
            now_s = time.perf_counter()
            while sent < len(offsets_s) and began_s + offsets_s[sent] <= now_s:
                self._send(places[sent], began_s + offsets_s[sent])
                sent += 1
            left_s = None if sent == len(offsets_s) else began_s + offsets_s[sent] - now_s
            found += self._wait(None if left_s is None else max(0.0, left_s))
        return found

    def _send(self, place: int, intended_s: float) -> None:
        wire = self._alive()
        if wire is None:
            if len(self._busy) >= _MOST_WIRES:
                sys.exit(f"{_MOST_WIRES} requests are on their way: the server is too slow")
            wire = _Wire(socket.create_connection(("127.0.0.1", self._port)))
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.place = place % len(self._requests)
        wire.intended_s, wire.sent_s = intended_s, time.perf_counter()
        wire.socket.sendall(self._requests[wire.place])
        self._busy[wire.socket.fileno()] = wire

    def _alive(self) -> _Wire | None:
        """An idle connection. One that is readable was closed: servers close connections that have
        been idle for a while."""
        while self._idle:
            wire = self._idle.pop()
            if not select.select([wire.socket], (), (), 0)[0]:
                return wire
            wire.socket.close()
        return None

    def _wait(self, seconds: float | None) -> list[Answer]:
        """The answers that are whole by then."""
        ready, _, _ = select.select(self._busy, (), (), _SILENT_S if seconds is None else seconds)
        if not ready and seconds is None:
            sys.exit(f"the server has been silent for {_SILENT_S:g} s")
        found = []
        for number in ready:
            wire = self._busy[number]
            if wire.read():
                found.append(wire.answer(time.perf_counter(), self._before_vector))
                self._idle.append(self._busy.pop(number))
        return found


def at_random(rate: float, seconds: float, seed: int, count: int) -> tuple[list[float], list[int]]:
    """When each request of an open loop is sent, as a Poisson process of so many a second, and
    which of `count` requests it is."""
    draw = random.Random(seed)
    offsets_s, at_s = [], draw.expovariate(rate)
    while at_s < seconds:
        offsets_s.append(at_s)
        at_s += draw.expovariate(rate)
    return offsets_s, [draw.randrange(count) for _ in offsets_s]


def late_ms(answers: Sequence[Answer]) -> float:
    """How late the sender itself was, at the 99th percentile."""
    return 1e3 * float(np.quantile([a.sent_s - a.intended_s for a in answers], 0.99))


def checked(answers: Sequence[Answer], vectors: Callable[[int], int], *, refusals: bool) -> None:
    """End the benchmark unless every answer is what was asked for, or a refusal where allowed."""
    for answer in answers:
        right = answer.status == 200 and answer.vectors == vectors(answer.place)
        if not right and not (refusals and answer.status == 429):
            sys.exit(f"a wrong answer: {answer.status}, {answer.vectors} vectors\n{answer.head!r}")
