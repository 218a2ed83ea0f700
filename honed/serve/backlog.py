"""The backlog: how long the workers will need for the texts that wait, as the cost model predicts.

Waiting texts of one length class fill batches, so the fixed cost of a call counts once for each
batch, and not once for each text.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from honed.serve.dispatch.base import Rules


class Backlog:
    """Counts waiting texts by length class."""

    def __init__(self, rules: Rules) -> None:
        self._model = rules.model
        self._edges = rules.model.edges(rules.longest)
        self._full = [rules.full_rows(edge) for edge in self._edges]
        self._counts = [0] * len(self._edges)
        self._texts = self._calls = 0
        self._rows_s = 0.0

    def add(self, length: int) -> None:
        place = self._class_of(length)
        if self._counts[place] % self._full[place] == 0:
            self._calls += 1
        self._counts[place] += 1
        self._texts += 1
        self._rows_s += self._model.row_s(length)

    def remove(self, length: int) -> None:
        place = self._class_of(length)
        self._counts[place] -= 1
        if self._counts[place] % self._full[place] == 0:
            self._calls -= 1
        self._texts -= 1
        # Sums of floats drift; an empty queue is exactly empty.
        self._rows_s = self._rows_s - self._model.row_s(length) if self._texts else 0.0

    @property
    def texts(self) -> int:
        """How many wait."""
        return self._texts

    def seconds(self) -> float:
        """One worker's time for all of them."""
        return self._calls * self._model.fixed_s + max(0.0, self._rows_s)

    def seconds_of(self, lengths: Sequence[int]) -> float:
        """One worker's time for these texts alone."""
        if len(lengths) == 1:
            return self._model.padded_s(1, lengths[0])
        counts, rows_s = [0] * len(self._edges), 0.0
        for length in lengths:
            counts[self._class_of(length)] += 1
            rows_s += self._model.row_s(length)
        calls = sum(-(-count // full) for count, full in zip(counts, self._full, strict=True))
        return calls * self._model.fixed_s + rows_s

    def share_s(self, length: int) -> float:
        """A text's share of a full batch of texts like it."""
        return self._model.fixed_s / self._full[self._class_of(length)] + self._model.row_s(length)

    def _class_of(self, length: int) -> int:
        return min(bisect.bisect_left(self._edges, length), len(self._edges) - 1)
