"""Frames: what is written is read again, however the socket cuts it."""

from __future__ import annotations

import socket
import threading
from io import BufferedReader
from typing import cast

import numpy as np
import pytest

from honed.serve.frames import (
    Answer,
    AnswerReader,
    Call,
    answer_frame,
    call_frame,
    read_call,
)


def through_a_socket(frame: bytes) -> Call | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Thread(target=lambda: (ours.sendall(frame), ours.close())).start()
        return read_call(cast(BufferedReader, theirs.makefile("rb")))


@pytest.mark.parametrize("segments", [False, True])
def test_a_call_comes_back(segments: bool) -> None:
    ids = [np.arange(n, dtype=np.int32) for n in (1, 70_000, 3)]
    call = Call(7, ids, 70_008, [i % 2 for i in ids] if segments else None, per_token=segments)
    got = through_a_socket(call_frame(call))
    assert got is not None
    assert (got.number, got.width, got.per_token) == (7, 70_008, segments)
    for one, other in zip(got.ids, ids, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (got.segments is None) != segments
    for one, other in zip(got.segments or [], call.segments or [], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_end_of_the_connection_is_no_call() -> None:
    assert through_a_socket(b"") is None
    assert through_a_socket(b"abc") is None


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_answers_are_put_together_from_pieces(step: int) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    sent = [Answer(1, 0.5, rows), Answer(2, 0.1, failure="it broke: ü"), Answer(3, 0.2, rows[:1])]
    data = b"".join(map(answer_frame, sent))
    reader, got = AnswerReader(), []
    for start in range(0, len(data), step):
        got += reader.feed(data[start : start + step])
    assert [answer.number for answer in got] == [1, 2, 3]
    np.testing.assert_array_equal(got[0].rows, rows)
    assert got[1].rows is None
    assert got[1].failure == "it broke: ü"
    assert got[2].seconds == 0.2
