"""What every workload file offers. A workload calls a Step; it never knows which engine it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import honed.discovery
from honed.case import Case
from honed.knob import Knob


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each call began and ended, CLOCK_MONOTONIC nanoseconds, in order."""

    began_ns: Sequence[int]
    ended_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the timed loop is entered and left.

    `begin` waits at the barrier; `others_done` says whether every sibling has what it needs
    (until then this instance keeps running, so that the siblings stay under load).
    """

    case: Case
    begin: Callable[[], None]
    done: Callable[[], None]
    others_done: Callable[[], bool]


class Workload(Protocol):
    KNOBS: tuple[Knob, ...]
    HELP: str

    def sample(self, call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
        """Call `call(feed)` as this traffic does, timing each call."""


def load_workload(name: str) -> Workload:
    return cast(Workload, honed.discovery.load("honed.workloads", name))


def workload_names() -> tuple[str, ...]:
    return honed.discovery.names("honed.workloads")
