"""The largest batch size that fits: traces at two sizes give all others, and replays bisect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from honed.plan.allocator import Allocator
from honed.plan.device import Device
from honed.plan.prediction import MaxBatch
from honed.plan.replay import DifferentShapeError, Family, Usage, family_of, replay
from honed.timeline import Timeline

# The sizes that a family is fitted to. One sequence is traced for itself, because torch views
# tensors of a batch of one that it copies for more.
_FIT = (2, 3)
_CHECK = 5
_GUESS = (4, 32)  # batch sizes whose peaks tell about where the largest one is
MOST = 1 << 20  # far beyond what any device computes at once


class Cells:
    """Timelines at every batch size, from few traces. `trace` makes the timeline of a batch size.

    `known` is a batch size that has been traced already; it confirms the fit without a new trace.
    `like` is the confirmed family of the same model at another length. With it, the trace of one
    batch size gives all others, except that of one sequence.
    """

    def __init__(
        self, trace: Callable[[int], Timeline], known: int = _CHECK, *, like: Family | None = None
    ) -> None:
        self._trace = trace
        self._check = known if known > max(_FIT) else _CHECK
        self._like = like
        self._family: Family | None = None
        self._was_tried = False

    @property
    def family(self) -> Family | None:
        """All timelines but that of one sequence, if their sizes are affine in the batch size."""
        if not self._was_tried:
            self._was_tried = True
            self._family = self._fitted()
        return self._family

    def timeline(self, batch_size: int) -> Timeline:
        family = None if batch_size == 1 else self.family
        return self._trace(batch_size) if family is None else family.at(batch_size)

    def replay(self, batch_size: int, allocator: Allocator) -> Usage:
        """What the timeline of a batch size takes of the allocator."""
        family = None if batch_size == 1 else self.family
        if family is None:
            return replay(self._trace(batch_size), allocator)
        return family.replay(batch_size, allocator)

    def _fitted(self) -> Family | None:
        """None where every batch size has to be traced."""
        few = self._trace(_FIT[0])
        if self._like is not None:
            with contextlib.suppress(DifferentShapeError):
                return self._like.at_length_of(few)
        try:
            fitted = family_of(few, self._trace(_FIT[1]), _FIT)
        except DifferentShapeError:
            return None
        is_right = fitted.at(self._check) == self._trace(self._check)
        return fitted if is_right else None


def most(fits: Callable[[int], bool], guess: int = 1) -> tuple[int, int | None]:
    """The largest number that `fits`, 0 if there is none, and the least that does not; None where
    all up to MOST do. Steps that double lead away from the guess, then the rest is bisected."""
    step = 1
    if fits(guess):
        low, high = guess, guess + step
        while fits(high):
            low, step = high, 2 * step
            high = low + step
            if high > MOST:
                return low, None
    else:
        low, high = max(0, guess - step), guess
        while low and not fits(low):
            high, step = low, 2 * step
            low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def largest_batch(cells: Cells, device: Device) -> MaxBatch:
    """The largest batch size whose replay succeeds on the device."""
    usable = device.usable_bytes
    assert usable is not None, "a largest batch needs a device with a size"
    usages: dict[int, Usage] = {}

    def fits(batch_size: int) -> bool:
        usages[batch_size] = cells.replay(batch_size, device.allocator(limited=True))
        return usages[batch_size].failure is None

    low, high = most(fits, _guess(cells, device, usable))
    held = usages[low].reserved_peak_bytes if low else 0
    failure = None if high is None else usages[high].failure
    return MaxBatch(low, usable - held, failure, is_bound=high is None)


def _guess(cells: Cells, device: Device, usable_bytes: int) -> int:
    """Where the line through the peaks of two batch sizes meets the device's size."""
    if cells.family is None:  # each batch size would be traced
        return 1
    few, many = (
        cells.replay(n, device.allocator(limited=False)).reserved_peak_bytes for n in _GUESS
    )
    each = max(1.0, (many - few) / (_GUESS[1] - _GUESS[0]))
    return min(MOST, max(1, int(_GUESS[0] + (usable_bytes - few) / each)))
