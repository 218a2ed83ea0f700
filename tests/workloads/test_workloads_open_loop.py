"""Traffic whose calls overlap: the schedule, what latency counts from, refusals, goodput."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from honed.case import Case
from honed.errors import HonedError
from honed.run.parent import measure
from honed.step import RefusedError
from honed.workloads import clients, poisson
from honed.workloads.base import Sampling, Timeline


def sampling(
    workload: str, knobs: dict[str, Any], begin: Callable[[], None] = lambda: None, **changes: Any
) -> Sampling:
    case = Case(model="tiny", backend="fake", workload=workload, knobs=knobs, **changes)
    return Sampling(case, begin, lambda: None, lambda: True)


def poisson_timeline(call: Any, begin: Callable[[], None] = lambda: None) -> Timeline:
    """50 requests in about a quarter of a second."""
    how = sampling("poisson", {"poisson.rate": 200}, begin, duration_s=0.25, min_samples=1)
    return poisson.sample(call, [0, 1, 2], how)


def test_the_schedule_comes_from_the_seed_and_has_the_rate() -> None:
    case = Case(model="tiny", duration_s=100.0)
    times = poisson.schedule(case, 50.0)
    assert times == poisson.schedule(case, 50.0)
    assert times != poisson.schedule(case.replace(seed=1), 50.0)
    assert times != poisson.schedule(case, 50.0, index=1)
    gaps = np.diff(times)
    assert len(times) == 5000
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.1)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # exponential


def test_a_stall_delays_every_request_that_it_holds_up() -> None:
    """All requests wait for one lock, which is held for a second from the beginning on. A closed
    loop would see one slow call."""
    gate = threading.Lock()
    gate.acquire()

    def call(_: Any) -> None:
        with gate:
            pass

    timeline = poisson_timeline(call, threading.Timer(1.0, gate.release).start)
    latencies_s = (np.array(timeline.ended_ns) - np.array(timeline.began_ns)) / 1e9
    assert len(latencies_s) == 50
    assert latencies_s.min() > 0.5  # the last request is due long before the lock is free
    assert list(timeline.ended_ns) == sorted(timeline.ended_ns)


def test_refusals_are_counted_and_errors_raised() -> None:
    def refuse(feed: int) -> None:
        if feed == 1:
            raise RefusedError

    timeline = poisson_timeline(refuse)
    assert timeline.refused == 17
    assert set(timeline.fed or ()) == {0, 2}
    with pytest.raises(ZeroDivisionError):
        poisson_timeline(lambda _: 1 // 0)


@pytest.mark.parametrize("workload", [poisson, clients])
def test_a_server_that_refuses_everything_is_an_error_that_says_so(workload: Any) -> None:
    """There is no latency to report, and clients must not ask for ever."""

    def refuse(_: int) -> None:
        time.sleep(0.001)
        raise RefusedError

    name = workload.__name__.rpartition(".")[2]
    how = sampling(name, {}, duration_s=0.05, min_samples=5)
    with pytest.raises(HonedError, match="refused all"):
        workload.sample(refuse, [0, 1], how)


def test_answers_within_the_limit_are_told_apart() -> None:
    def call(feed: int) -> None:
        time.sleep(1.0 if feed == 2 else 0)

    # So far apart that a pause of a busy machine makes no fast answer late.
    knobs = {"poisson.rate": 100, "poisson.limit_ms": 800}
    how = sampling("poisson", knobs, duration_s=0.3, min_samples=1)
    timeline = poisson.sample(call, [0, 1, 2], how)
    slow = [not good for good in timeline.in_time or ()]
    assert sum(slow) >= 10
    assert all(fed == 2 for fed, late in zip(timeline.fed or (), slow, strict=True) if late)


def test_clients_ask_again_when_they_have_their_answer() -> None:
    at_once, most = 0, 0
    lock = threading.Lock()

    def call(_: Any) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    how = sampling("clients", {"clients.count": 4}, duration_s=0.2, min_samples=40)
    timeline = clients.sample(call, [0, 1, 2], how)
    assert most == 4
    assert len(timeline.ended_ns) >= 40
    assert timeline.refused == 0


@pytest.mark.parametrize("workload", ["poisson", "clients"])
def test_a_record_holds_goodput_and_refusals(workload: str) -> None:
    """Whether the sender was late on this machine decides the status, and is told."""
    count = {"poisson": "poisson.rate", "clients": "clients.count"}[workload]
    knobs = {count: 40 if workload == "poisson" else 2, f"{workload}.limit_ms": 10_000}
    case = Case(model="tiny", backend="fake", workload=workload, sequence_length=8, memory=False,
                duration_s=0.5, warmup_s=0.1, knobs=knobs)  # fmt: skip
    record = measure(case)
    assert record.status in ("ok", "unproven"), record.error
    assert record.metrics is not None
    assert record.metrics.refused == 0
    assert record.metrics.goodput_per_s == pytest.approx(
        record.metrics.throughput_per_s.value, rel=0.25
    )
    assert record.effective[0][count] == knobs[count]
    assert (record.metrics.lateness_s is not None) == (workload == "poisson")
    if record.status == "unproven":
        assert record.error is not None
        assert "ms late" in record.error.message
