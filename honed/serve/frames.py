"""Frames between the front and a worker: a fixed header, then raw numbers, never pickles.

A call holds the ids of several texts without padding; the worker pads. An answer holds one row of
float32 for each text, or for each token where the outputs are per token.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]  # [length]
Floats = npt.NDArray[np.float32]

_CALL = struct.Struct("<IIBxxxI")  # number, texts, flags, width
_ANSWER = struct.Struct("<IBxxxIId")  # number, status, rows, columns, seconds
_SEGMENTS, _PER_TOKEN = 1, 2
_OK, _FAILED = 0, 1
_LONGEST_MESSAGE = 2000  # bytes; engines can print whole graphs


@dataclass(frozen=True, slots=True)
class Call:
    """One batch for a worker. `segments` is None where every text is a single text.

    `width` is how many tokens wide the batch is made.
    """

    number: int
    ids: Sequence[Ids]
    width: int
    segments: Sequence[Ids] | None = None
    per_token: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker gave for a call: rows of numbers, or the message of the engine's error."""

    number: int
    seconds: float
    rows: Floats | None = None
    failure: str = ""


def call_frame(call: Call) -> bytes:
    """The call as bytes."""
    flags = (_SEGMENTS if call.segments is not None else 0) | (_PER_TOKEN * call.per_token)
    lengths = np.fromiter(map(len, call.ids), np.int32, len(call.ids))
    parts = [_CALL.pack(call.number, len(call.ids), flags, call.width), lengths.tobytes()]
    parts += [ids.tobytes() for ids in call.ids]
    if call.segments is not None:
        parts += [segments.tobytes() for segments in call.segments]
    return b"".join(parts)


class Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer at the end."""


def read_call(stream: Readable) -> Call | None:
    """The next call; None when the front has closed the connection, also in the middle of one."""
    try:
        number, texts, flags, width = _CALL.unpack(_exactly(stream, _CALL.size))
        lengths = np.frombuffer(_exactly(stream, 4 * texts), np.int32)
        total = int(lengths.sum())
        cuts = np.cumsum(lengths)[:-1]
        ids = np.frombuffer(_exactly(stream, 4 * total), np.int32)
        segments = None
        if flags & _SEGMENTS:
            segments = np.split(np.frombuffer(_exactly(stream, 4 * total), np.int32), cuts)
    except EOFError:
        return None
    return Call(number, np.split(ids, cuts), width, segments, bool(flags & _PER_TOKEN))


def _exactly(stream: Readable, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def answer_frame(answer: Answer) -> bytes:
    """The answer as bytes."""
    if answer.rows is None:
        message = answer.failure.encode(errors="replace")[:_LONGEST_MESSAGE]
        return _ANSWER.pack(answer.number, _FAILED, 1, len(message), answer.seconds) + message
    rows = np.ascontiguousarray(answer.rows, np.float32)
    return _ANSWER.pack(answer.number, _OK, *rows.shape, answer.seconds) + rows.tobytes()


class AnswerReader:
    """Puts answers together from the pieces in which a socket delivers them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[Answer]:
        """The answers that this piece completes."""
        self._buffer += piece
        answers = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        return answers

    def _next(self) -> Answer | None:
        if len(self._buffer) < _ANSWER.size:
            return None
        number, status, rows, columns, seconds = _ANSWER.unpack_from(self._buffer)
        size = columns if status == _FAILED else 4 * rows * columns
        end = _ANSWER.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_ANSWER.size : end])
        del self._buffer[:end]
        if status == _FAILED:
            return Answer(number, seconds, failure=body.decode(errors="replace"))
        return Answer(number, seconds, np.frombuffer(body, np.float32).reshape(rows, columns))
