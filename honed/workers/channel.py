"""The channel between a worker and its parent: JSON lines, requests down and events up.

The parent writes requests to the worker's standard input. Events come back on a pipe of their
own, because libraries print to standard output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

from honed.knob import Value
from honed.phase import Phase
from honed.plain import from_plain, to_plain
from honed.record import Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Birth:
    """The first line that a worker reads: whose child it is, and how it settles before it works.

    `cpus` empty means unpinned. `in_child` are knobs that only the process itself can apply.
    """

    parent_pid: int
    events_fd: int
    cpus: tuple[int, ...] = ()
    in_child: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """The worker has gone on to another phase of its request."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Result:
    """The worker's answer to a request; the request decides its class."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer, as a Record's status and error. A worker that fails ends."""

    status: Status
    kind: str
    message: str
    hint: str = ""


Event = PhaseBegan | Result | Failed
_TAGS: Mapping[str, type[Event]] = {"phase": PhaseBegan, "result": Result, "failed": Failed}
_TAG_OF = {kind: tag for tag, kind in _TAGS.items()}


def line_of(message: Any) -> str:
    """One dataclass as one line."""
    return json.dumps(to_plain(message), allow_nan=False) + "\n"


def event_line(event: Event) -> str:
    return json.dumps({"event": _TAG_OF[type(event)], **to_plain(event)}, allow_nan=False) + "\n"


def read_event(line: bytes | str, answer: type) -> Event:
    """The event of a line that `event_line` made; `answer` is the class of the expected answer."""
    data = json.loads(line)
    event = from_plain(_TAGS[data["event"]], data)
    return Result(from_plain(answer, event.answer)) if isinstance(event, Result) else event


class Channel:
    """The worker's end."""

    def __init__(self, requests: IO[str], events: IO[str]) -> None:
        self._requests = requests
        self._events = events

    def send(self, event: Event) -> None:
        self._events.write(event_line(event))
        self._events.flush()

    def on_phase(self, phase: Phase | None) -> None:
        if phase is not None:
            self.send(PhaseBegan(phase))

    def requests(self, kind: type[T]) -> Iterator[T]:
        """Each request as it comes, until the parent closes the channel."""
        while line := self._requests.readline():
            yield from_plain(kind, json.loads(line))
