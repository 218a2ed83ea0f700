"""The worker's side of its life: settle as the parent asks, answer requests, end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from honed.machine.affinity import pin
from honed.machine.spawn import apply_in_child, die_with_parent
from honed.phase import OnPhase
from honed.plain import from_plain
from honed.record import Doubt
from honed.workers import failure
from honed.workers.channel import Birth, Channel, Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a request is answered with: a way to report phases, and what settling left undone."""

    on_phase: OnPhase
    refused: tuple[Doubt, ...] = ()


def answer_requests(kind: type[T], answer: Callable[[T, Desk], Any]) -> NoReturn:
    """Answer requests of class `kind` until the parent closes the channel or one fails."""
    birth = from_plain(Birth, json.loads(sys.stdin.readline()))
    die_with_parent(birth.parent_pid)
    _prefer_as_victim()
    with os.fdopen(birth.events_fd, "w") as pipe:
        channel = Channel(sys.stdin, pipe)
        try:
            if birth.cpus:
                pin(birth.cpus)  # first: a memory policy is about the cores it may run on
            refused = tuple(Doubt(**r) for r in apply_in_child(birth.in_child, birth.cpus))
            desk = Desk(channel.on_phase, refused)
            for request in channel.requests(kind):
                channel.send(Result(answer(request, desk)))
        except Exception as error:  # noqa: BLE001 - whatever an engine raises becomes a Record
            traceback.print_exc()
            channel.send(failure.of_exception(error))
    # Engines' exit handlers can hang or crash. All answers have been sent, so none is needed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _prefer_as_victim() -> None:
    """When memory runs out the kernel should kill the worker, not the parent with its records."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
