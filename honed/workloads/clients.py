"""Clients: a closed loop of several clients at once, each waiting for its answer before it asks
again. For servers; an engine in the same process would be called by several threads."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from honed.case import Case
from honed.knob import Knob, Span, Value
from honed.models.checkpoint import Checkpoint
from honed.step import StepKind
from honed.workloads._concurrent import Log
from honed.workloads.base import Batch, Sampling, Timeline, Work, forward_work

HELP = "several clients at once, each of which asks again as soon as it has its answer"
COUNT = Knob("clients.count", "how many clients of each instance", Span(1, 4096), scale="log2")
LIMIT = Knob("clients.limit_ms", "answers within this count for the goodput", Span(1, 3_600_000))
KNOBS = (COUNT, LIMIT)
STEP = StepKind.FORWARD
PASSES = ("fidelity", "timing", "memory", "proofs", "neighbours", "accuracy")

USED: dict[str, Value | None] = {}  # the settings of the last sampling
_DEFAULT_COUNT = 8


def sample(call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
    """Every client takes the next feed, until the duration and the least count are reached.

    If no call at all was answered in the duration, the clients stop: HonedError."""
    count = int(how.case.get(COUNT.name) or _DEFAULT_COUNT)
    limit_ms = how.case.get(LIMIT.name)
    USED.update({COUNT.name: count, LIMIT.name: limit_ms})
    log, places = Log(), itertools.count()
    how.begin()
    deadline_ns = time.perf_counter_ns() + int(how.case.duration_s * 1e9)

    def client() -> None:
        while not log.errors:
            now_ns = time.perf_counter_ns()
            answered = len(log.calls)
            if now_ns >= deadline_ns and (answered >= how.case.min_samples or not answered):
                return
            place = next(places) % len(feeds)
            log.call(call, feeds[place], place, now_ns)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    how.done()
    return log.timeline(None if limit_ms is None else float(limit_ms) / 1e3, scheduled=False)


def work_per_call(
    case: Case,  # noqa: ARG001 - other workloads need it
    model: Checkpoint | None,
    batch: Batch,
    skips_padding: bool,
) -> Work:
    return forward_work(model, batch, skips_padding)
