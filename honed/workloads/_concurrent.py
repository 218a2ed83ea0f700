"""What workloads share whose calls overlap: calls in threads, and their timeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from honed.errors import HonedError
from honed.step import RefusedError
from honed.workloads.base import Timeline


class Call(NamedTuple):
    """One answered call. Times are CLOCK_MONOTONIC nanoseconds; `late_ns` is how long after the
    intended time it began, and `fed` which of the feeds it took."""

    ended_ns: int
    intended_ns: int
    fed: int
    late_ns: int


@dataclass(slots=True)
class Log:
    """Calls as they end, from any thread."""

    calls: list[Call] = field(default_factory=list)
    refused: int = 0
    errors: list[Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, call: Callable[[Any], Any], feed: Any, fed: int, intended_ns: int) -> None:
        """Call once; the latency counts from when the call was meant to begin."""
        began_ns = time.perf_counter_ns()
        try:
            call(feed)
        except RefusedError:
            with self.lock:
                self.refused += 1
            return
        except Exception as error:  # noqa: BLE001 - `timeline` raises it
            with self.lock:
                self.errors.append(error)
            return
        ended_ns = time.perf_counter_ns()
        with self.lock:
            self.calls.append(Call(ended_ns, intended_ns, fed, began_ns - intended_ns))

    def timeline(self, limit_s: float | None, *, scheduled: bool) -> Timeline:
        """The calls in the order of their ends; how late they were, if there was a schedule.

        Raises the first error of a call, and HonedError if all calls were refused.
        """
        if self.errors:
            raise self.errors[0]
        if not self.calls:
            raise HonedError(
                f"the server refused all {self.refused} requests: it is overloaded or stopping",
                "a lower poisson.rate or clients.count; the server's max_wait_s decides when it "
                "refuses",
            )
        calls = sorted(self.calls)
        began_ns = [call.intended_ns for call in calls]
        ended_ns = [call.ended_ns for call in calls]
        in_time = None
        if limit_s is not None:
            pairs = zip(began_ns, ended_ns, strict=True)
            in_time = [ended - began <= limit_s * 1e9 for began, ended in pairs]
        return Timeline(
            began_ns,
            ended_ns,
            [call.fed for call in calls],
            refused=self.refused,
            late_ns=[call.late_ns for call in calls] if scheduled else (),
            in_time=in_time,
        )
