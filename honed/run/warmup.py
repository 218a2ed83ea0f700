"""Calls before the timed ones: every shape once, then until the times are steady."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.backends.base import Step
from honed.instruments.steady import Steadiness
from honed.models.inputs import InputSet

_SAMPLES = 3  # inputs that take turns where shapes differ: the narrowest, a middle one, the widest


class Warmup:
    """Warms a step up, and knows when it is warm. Calls that check its outputs count as well.

    Engines compile, plan or allocate for each shape, so each shape is called once first, however
    long that takes: `limit_s` bounds only the wait for steady times that follows. With `exactly`
    there are this many calls, whatever their times.
    """

    def __init__(
        self,
        step: Step,
        feeds: Sequence[Any],
        inputs: InputSet,
        limit_s: float,
        exactly: int | None = None,
    ) -> None:
        self._step = step
        self._feeds = feeds
        self._shapes = [batch["input_ids"].shape for batch in inputs.batches]
        self._shape_of = dict(zip(map(id, feeds), self._shapes, strict=True))
        self._seen: set[tuple[int, ...]] = set()
        self._varied = len(set(self._shapes)) > 1
        self._turns = _spread(self._shapes) if self._varied else list(range(len(feeds)))
        self._steadiness = Steadiness(limit_s, len(self._turns))
        self._covering_s = 0.0
        self._exactly = exactly
        self.calls = 0  # with the first call

    @property
    def elapsed_s(self) -> float:
        return self._covering_s + self._steadiness.elapsed_s

    @property
    def settled(self) -> bool:
        """Whether the times are steady; a number of calls that was asked for is taken as it is."""
        return self._exactly is not None or self._steadiness.settled

    def first_call_s(self) -> float | None:
        """Make the first call and return its time. None if no call is to be made before the
        measured ones, which begin with the first call then."""
        return None if self._exactly == 0 else self._timed(self._feeds[0])[0]

    def outputs(self, raw: Any) -> Any:
        return self._step.outputs(raw)

    def run(self, feed: Any) -> Any:
        """Call once. Where shapes differ, its time cannot be compared with the call before."""
        call_s, raw = self._timed(feed)
        if self._varied:
            self._covering_s += call_s
        else:
            self._steadiness.add(call_s)
        return raw

    def finish(self) -> None:
        """Call until every shape has been seen and the times are steady, or the limit."""
        if self._exactly is not None:
            left = max(0, self._exactly - self.calls)
            for index in itertools.islice(itertools.cycle(self._turns), left):
                self._covering_s += self._timed(self._feeds[index])[0]
            return
        if self._steadiness.limit_s > 0:
            for feed in self._feeds:
                if self._shape_of[id(feed)] not in self._seen:
                    self.run(feed)
        for index in itertools.cycle(self._turns):
            if self._steadiness.over:
                break
            self._steadiness.add(self._timed(self._feeds[index])[0])

    def _timed(self, feed: Any) -> tuple[float, Any]:
        began = time.perf_counter()
        raw = self._step.run(feed)
        call_s = time.perf_counter() - began
        self.calls += 1
        self._seen.add(self._shape_of[id(feed)])
        return call_s, raw


def _spread(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The inputs at evenly spaced places among the sorted shapes."""
    order = sorted(range(len(shapes)), key=lambda i: shapes[i])
    places = np.linspace(0, len(order) - 1, min(_SAMPLES, len(order))).round().astype(int)
    return [order[place] for place in places]
