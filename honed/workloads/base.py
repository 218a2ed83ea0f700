"""What every workload file offers. A workload calls a Step; it never knows which engine it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import honed.discovery
from honed.case import Case
from honed.knob import Knob

_ROOM = "honed.workloads"


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each call began and ended, CLOCK_MONOTONIC nanoseconds, in order.

    `fed`: which of the feeds each call took; None: in turn.
    """

    began_ns: Sequence[int]
    ended_ns: Sequence[int]
    fed: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the timed loop is entered and left.

    `begin` waits at the barrier; `others_done` says whether every sibling has what it needs
    (until then this instance keeps running, so that the siblings stay under load). Where inputs
    differ, `turn` calls see each once, and an instance has what it needs after whole turns only.
    """

    case: Case
    begin: Callable[[], None]
    done: Callable[[], None]
    others_done: Callable[[], bool]
    turn: int = 1


class Workload(Protocol):
    KNOBS: tuple[Knob, ...]
    HELP: str

    def sample(self, call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
        """Call `call(feed)` as this traffic does, timing each call."""


def load_workload(name: str) -> Workload:
    return cast(Workload, honed.discovery.load(_ROOM, name, Workload))


def workload_names() -> tuple[str, ...]:
    return honed.discovery.names(_ROOM)


def survey_workloads() -> honed.discovery.Survey:
    """Every workload file: those that work, and what is wrong with the others."""
    return honed.discovery.survey(_ROOM, Workload)
