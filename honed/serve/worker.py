"""The worker of a server: an engine that is loaded and proven as for a run, then answers calls.

Run as `python -P -m honed.serve.worker`; see honed.workers.process for its life. It needs honed,
numpy and the engine alone.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from honed.backends.base import Batch, Outputs, Step, memory_words
from honed.errors import UnsupportedError
from honed.instruments import neighbours
from honed.machine import priority
from honed.models.checkpoint import Checkpoint
from honed.models.inputs import drawn_inputs, padded_batch, random_inputs
from honed.models.knobs.padding import Padding
from honed.models.sentence_modules import behind_transformer
from honed.models.sentences import root_folder
from honed.models.tasks import FEATURES
from honed.models.tokenizer import Encoded
from honed.phase import Phase
from honed.run import measure, prepare
from honed.run.passes.base import Loaded, Measured, passes_of
from honed.serve.asks import FACTS_FILE, Ask, Closed, Equipped, Point, Ready, make_tokenizer
from honed.serve.frames import Answer, Call, Floats, answer_frame, read_call
from honed.workers.failure import brief
from honed.workers.process import Desk, answer_requests

_PASSES = ("fidelity", "proofs")  # what a server's worker shares with a measured one
# Calls that are timed at start, the cheapest first: texts x tokens.
_ROWS, _WIDTHS = (1, 2, 4, 8, 16, 32), (8, 16, 32, 64, 128, 256, 512, 1024)
_MOST_TOKENS = 2048
_TIMING_S = 1.0
_IDLE_S = 0.25  # without a call for so long, a worker is idle
_LENGTHS = (5, 9, 17, 30, 12, 48, 7, 60)  # of the texts that stand beside other neighbours


class ServingWorker:
    """What a worker keeps between its requests: the loaded engine."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None

    def answer(self, ask: Ask, desk: Desk) -> Any:
        if ask.do == "prepare":
            return _prepare(ask, desk)
        if ask.do == "load":
            return self._load(ask, desk)
        assert self.loaded is not None, "a worker loads before it answers"
        return answer_calls(ask, Engine(self.loaded, ask))

    def _load(self, ask: Ask, desk: Desk) -> Ready:
        nice = priority.give_way(ask.gives_way)
        facts, self.loaded = measure.load(ask.job, desk)
        available = passes_of(ask.job.case)
        parts = {n: available[n].work(self.loaded) for n in _PASSES if n in available}
        desk.on_phase(Phase.WARMING_UP)
        engine = Engine(self.loaded, ask)
        skips_padding = bool(self.loaded.step.read_back().get("skips_padding"))
        first = ask.job.seat.index == 0
        return Ready(
            Measured(facts, parts),
            tuple(engine.time_calls(ask.longest)) if ask.timed else (),
            skips_padding,
            engine.neighbour_cosine() if first else None,
            nice,
        )


class Engine:
    """A loaded step that takes texts of unlike lengths, and gives one row for each."""

    def __init__(self, loaded: Loaded, ask: Ask) -> None:
        self.step: Step = loaded.step
        self.checkpoint: Checkpoint = loaded.job.prepared.checkpoint
        self.case = loaded.case
        self.padding_id = _padding_id(ask, self.checkpoint)
        self.pooling = _pooling(self.checkpoint)
        self.shapes_seen: set[tuple[int, int]] = set()  # texts and width of the batches so far

    def try_shape(self, texts: int, width: int) -> None:
        """Run a batch of this shape, so that the engine has planned it."""
        self.shapes_seen.add((texts, width))
        batch = random_inputs(self.checkpoint, texts, width, 0).batches[0]
        self.step.run(self.step.prepare(batch))

    def rows(self, call: Call) -> Floats:
        """[texts, columns], or [tokens of all texts, columns] where the outputs are per token."""
        segments = call.segments or [np.zeros(len(ids), np.int32) for ids in call.ids]
        lengths = [len(ids) for ids in call.ids]
        encoded = Encoded(
            [ids.astype(np.int64) for ids in call.ids],
            [each.astype(np.int64) for each in segments],
            self.padding_id,
        )
        self.shapes_seen.add((len(lengths), call.width))
        batch = padded_batch(self.checkpoint, encoded, range(len(lengths)), call.width)
        outputs = self.outputs(batch)
        array = np.asarray(next(iter(outputs.values())), np.float32)
        if array.ndim == 2:
            return array
        if call.per_token or self.checkpoint.task != FEATURES:
            return np.concatenate(
                [row[:length] for row, length in zip(array, lengths, strict=True)]
            )
        if not self.pooling:
            raise UnsupportedError(
                "with pooling=none honed pools by mean and cls alone, and this model needs more",
                "serve it without pooling=none",
            )
        return pooled(array, lengths, self.pooling)

    def outputs(self, batch: Batch) -> Outputs:
        return self.step.outputs(self.step.run(self.step.prepare(batch)))

    def time_calls(self, longest: int) -> list[Point]:
        """Calls of several shapes, the cheapest first, until they have taken long enough.

        The first call of a shape is kept apart: engines plan and allocate in it.
        """
        shapes = sorted(
            ((r, min(w, longest)) for r in _ROWS for w in _WIDTHS if r * w <= _MOST_TOKENS),
            key=lambda shape: (shape[0] * shape[1], shape[1]),
        )
        points: list[Point] = []
        began = time.perf_counter()
        for rows, width in _spread(list(dict.fromkeys(shapes))):
            batch = random_inputs(self.checkpoint, rows, width, 0).batches[0]
            feed = self.step.prepare(batch)
            first_s = _seconds(lambda feed=feed: self.step.run(feed))  # type: ignore[misc]
            times = [_seconds(lambda feed=feed: self.step.run(feed)) for _ in range(2)]  # type: ignore[misc]
            points.append(Point(rows, width, min(times), first_s))
            if time.perf_counter() - began > _TIMING_S and len(points) > 2:
                break
        return points

    def neighbour_cosine(self) -> float | None:
        """The least cosine between two outputs for one text beside other texts."""
        limit = self.checkpoint.max_positions or max(_LENGTHS)
        lengths = [min(length, limit) for length in _LENGTHS]
        made = drawn_inputs(self.checkpoint, lengths, 4, Padding(), "random ids")
        count = neighbours.texts_for(self.case.precision)
        return neighbours.least_cosine(made.batches, self.padding_id, self.outputs, count)


def pooled(tokens: Any, lengths: Sequence[int], pooling: str) -> Floats:
    """Token vectors [texts, length, columns] as one vector for each text."""
    if pooling == "cls":
        return np.ascontiguousarray(tokens[:, 0])
    means = [row[:length].mean(axis=0) for row, length in zip(tokens, lengths, strict=True)]
    return np.stack(means)


class Stream:
    """Reads a socket without a buffer, so that it is known when nothing has come."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end of the connection."""
        data = b""
        while len(data) < size and (part := self._line.recv(size - len(data), socket.MSG_WAITALL)):
            data += part
        return data

    def has_come(self, within_s: float) -> bool:
        """Whether there is something to read, or the end."""
        return bool(select.select([self._line], (), (), within_s)[0])


def try_shapes(stream: Stream, shapes: deque[tuple[int, int]], engine: Engine) -> None:
    """Run shapes that have not been seen until a call comes; at first, wait whether one does."""
    pause_s = _IDLE_S
    while shapes and not stream.has_come(pause_s):
        shape, pause_s = shapes.popleft(), 0.0
        if shape not in engine.shapes_seen:
            try:
                engine.try_shape(*shape)
            except Exception:  # noqa: BLE001 - a batch of this shape will tell what is wrong
                shapes.clear()


def answer_calls(ask: Ask, engine: Engine) -> Closed:
    """Answer calls until the front closes the socket. An engine's error is an answer, too."""
    count, shapes = 0, deque(ask.shapes)
    words = memory_words(engine.case.backend)
    with socket.socket(fileno=ask.descriptor) as line:
        stream = Stream(line)
        while True:
            try_shapes(stream, shapes, engine)
            if (call := read_call(stream)) is None:
                break
            began = time.perf_counter()
            try:
                rows = engine.rows(call)
                answer = Answer(call.number, time.perf_counter() - began, rows)
            except Exception as error:  # noqa: BLE001 - an engine may raise anything
                text = brief(error)
                kind = "out of memory" if any(w in text.lower() for w in words) else "failed"
                failure = f"the engine {kind}: {type(error).__name__}: {text}"
                answer = Answer(call.number, time.perf_counter() - began, failure=failure)
            try:
                line.sendall(answer_frame(answer))
            except OSError:  # the front is gone
                break
            count += 1
    return Closed(count)


def _prepare(ask: Ask, desk: Desk) -> Equipped:
    prepared = prepare.work(ask.job, desk)
    checkpoint = prepared.checkpoint
    return Equipped(prepared, make_tokenizer(checkpoint) if checkpoint.has_tokenizer else None)


def _pooling(checkpoint: Checkpoint) -> str:
    """How token vectors of the engine become one; empty where that takes more than a pooling."""
    if checkpoint.task != FEATURES or checkpoint.pooling != "none":
        return checkpoint.pooling
    own = behind_transformer(root_folder(checkpoint.folder), "auto")
    plain = own.pooling in ("mean", "cls") and not own.layers and own.pools_prompt
    return own.pooling if plain else ""


def _padding_id(ask: Ask, checkpoint: Checkpoint) -> int:
    if ask.tokenizer is not None:
        return int(json.loads((ask.tokenizer / FACTS_FILE).read_text())["padding_id"])
    configured = checkpoint.config.get("pad_token_id")
    return configured if isinstance(configured, int) else 0


def _spread(shapes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A dozen of the shapes, from the cheapest to the dearest."""
    places = np.linspace(0, len(shapes) - 1, min(14, len(shapes))).round().astype(int)
    return [shapes[place] for place in places]


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    answer_requests(Ask, ServingWorker().answer)
