"""The requests of the last minute, for the page: how many, how long they took, by length."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

_SPAN_S = 60.0
_KEPT = 20_000
_EDGES = (32, 128, 512)


class Recent:
    """A bounded memory of answered requests."""

    def __init__(self) -> None:
        self._requests: deque[tuple[float, float, int]] = deque(maxlen=_KEPT)

    def add(self, seconds: float, lengths: Sequence[int]) -> None:
        """One answered request, and the tokens of its texts."""
        self._requests.append((time.monotonic(), seconds, max(lengths)))

    def summary(self) -> list[dict[str, Any]]:
        """For each class of the longest text of a request: requests per second, p50 and p99.

        p99 is None below a hundred requests.
        """
        now_s = time.monotonic()
        while self._requests and now_s - self._requests[0][0] > _SPAN_S:
            self._requests.popleft()
        if not self._requests:
            return []
        span_s = max(1.0, now_s - self._requests[0][0])
        table = np.array(self._requests)
        classes = np.searchsorted(_EDGES, table[:, 2])
        found = []
        for place in np.unique(classes):
            seconds = table[classes == place, 1]
            edge = _EDGES[place] if place < len(_EDGES) else None
            found.append(
                {
                    "up_to": edge,
                    "per_s": len(seconds) / span_s,
                    "p50_s": float(np.median(seconds)),
                    "p99_s": float(np.quantile(seconds, 0.99)) if len(seconds) >= 100 else None,
                }
            )
        return found
