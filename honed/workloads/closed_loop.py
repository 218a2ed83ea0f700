"""Closed loop: the next call begins when the last one has ended. One client, no queue."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from honed.case import Case
from honed.knob import Knob
from honed.models.checkpoint import Checkpoint
from honed.step import StepKind
from honed.workloads.base import Batch, Sampling, Timeline, Work, forward_work

HELP = "one call after another, each as soon as the last has ended"
KNOBS: tuple[Knob, ...] = ()
STEP = StepKind.FORWARD
PASSES = ("fidelity", "timing", "memory", "proofs", "neighbours", "accuracy")


def sample(call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
    """Cycle through `feeds`, in turn, until the duration and the least count are both reached.

    The instance then goes on, and its calls are recorded, until every sibling has enough: one that
    stopped early would leave the others an idle machine.
    """
    clock = time.perf_counter_ns  # CLOCK_MONOTONIC on Linux: the same in every process
    began, ended = [], []
    how.begin()
    deadline = clock() + int(how.case.duration_s * 1e9)
    enough = False
    for feed in itertools.cycle(feeds):
        begin = clock()
        call(feed)
        end = clock()
        began.append(begin)
        ended.append(end)
        if not enough and end >= deadline and len(ended) >= how.case.min_samples:
            enough = len(ended) % how.turn == 0
            if enough:
                how.done()
        if enough and how.others_done():
            break
    return Timeline(began, ended)


def work_per_call(
    case: Case,  # noqa: ARG001 - other workloads need it
    model: Checkpoint | None,
    batch: Batch,
    skips_padding: bool,
) -> Work:
    return forward_work(model, batch, skips_padding)
