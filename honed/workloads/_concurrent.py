"""What workloads share whose calls overlap: calls in threads, and their timeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from honed.step import RefusedError
from honed.workloads.base import Timeline


@dataclass(slots=True)
class Log:
    """Calls as they end, from any thread. Times are CLOCK_MONOTONIC nanoseconds."""

    calls: list[tuple[int, int, int, int]] = field(
        default_factory=list
    )  # ended, intended, fed, late
    refused: int = 0
    errors: list[Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, call: Callable[[Any], Any], feed: Any, place: int, intended_ns: int) -> None:
        """Call once; the latency counts from when the call was meant to begin."""
        began_ns = time.perf_counter_ns()
        try:
            call(feed)
        except RefusedError:
            with self.lock:
                self.refused += 1
            return
        except Exception as error:  # noqa: BLE001 - told in the thread that started this one
            with self.lock:
                self.errors.append(error)
            return
        ended_ns = time.perf_counter_ns()
        with self.lock:
            self.calls.append((ended_ns, intended_ns, place, began_ns - intended_ns))

    def timeline(self, limit_s: float | None, *, scheduled: bool) -> Timeline:
        """The calls in the order of their ends; how late they were, if there was a schedule.

        Raises the first error of a call.
        """
        if self.errors:
            raise self.errors[0]
        calls = sorted(self.calls)
        ended, began, fed, late = (list(column) for column in zip(*calls, strict=True))
        in_time = None
        if limit_s is not None:
            in_time = [e - b <= limit_s * 1e9 for b, e in zip(began, ended, strict=True)]
        return Timeline(
            began,
            ended,
            fed,
            refused=self.refused,
            late_ns=late if scheduled else (),
            in_time=in_time,
        )
