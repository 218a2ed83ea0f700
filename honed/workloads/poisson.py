"""Poisson: an open loop. Requests are sent at random times, whether or not earlier ones ended.

The schedule is drawn from the seed before the first call. The latency of a call counts from the
moment for which it was drawn, so that a stall delays every call that it holds up (a closed loop
would not ask during the stall). How late the sender itself was is recorded; a sender that was late
often makes the record "unproven".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from honed.case import Case
from honed.knob import Knob, Span, Value
from honed.models.checkpoint import Checkpoint
from honed.step import StepKind
from honed.workloads._concurrent import Log
from honed.workloads.base import Batch, Sampling, Timeline, Work, forward_work

HELP = "requests at random times, at a mean rate, whether or not earlier ones have ended"
RATE = Knob("poisson.rate", "requests per second, of each instance", Span(1, 1_000_000))
LIMIT = Knob("poisson.limit_ms", "answers within this count for the goodput", Span(1, 3_600_000))
KNOBS = (RATE, LIMIT)
STEP = StepKind.FORWARD
PASSES = ("fidelity", "timing", "memory", "proofs", "neighbours", "accuracy")

USED: dict[str, Value | None] = {}  # the settings of the last sampling
_DEFAULT_RATE = 10
_MOST_AT_ONCE = 1024  # requests in flight; beyond, the sender is late, which the record says
_SPIN_S = 0.0002  # sleeping ends about this late; the rest is waited for in a loop


def sample(call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
    """Send each feed in turn at the times of the schedule, and wait for the last answer."""
    rate = float(how.case.get(RATE.name) or _DEFAULT_RATE)
    offsets_s = schedule(how.case, rate, how.index)
    limit_ms = how.case.get(LIMIT.name)
    USED.update({RATE.name: int(rate), LIMIT.name: limit_ms})
    log = Log()
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        how.begin()
        start_ns = time.perf_counter_ns()
        for place, offset_s in enumerate(offsets_s):
            intended_ns = start_ns + int(offset_s * 1e9)
            _wait_until(intended_ns)
            fed = place % len(feeds)
            pool.submit(log.call, call, feeds[fed], fed, intended_ns)
            if log.errors:
                break
        how.done()
    return log.timeline(None if limit_ms is None else float(limit_ms) / 1e3, scheduled=True)


def schedule(case: Case, rate: float, index: int = 0) -> list[float]:
    """When each request is sent, seconds from the start; the same for the same seed."""
    count = max(int(case.duration_s * rate), case.min_samples)
    gaps = np.random.default_rng((case.seed, index)).exponential(1 / rate, count)
    return [float(at) for at in np.cumsum(gaps)]


def work_per_call(
    case: Case,  # noqa: ARG001 - other workloads need it
    model: Checkpoint | None,
    batch: Batch,
    skips_padding: bool,
) -> Work:
    return forward_work(model, batch, skips_padding)


def _wait_until(at_ns: int) -> None:
    while (left_s := (at_ns - time.perf_counter_ns()) / 1e9) > 0:
        time.sleep(max(0.0, left_s - _SPIN_S))
