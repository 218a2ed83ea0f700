"""The largest batch size that fits: traces at two sizes give all others, and replays bisect."""

from __future__ import annotations

from collections.abc import Callable

from honed.plan.device import Device
from honed.plan.prediction import MaxBatch
from honed.plan.replay import DifferentShapeError, Family, Usage, family, replay
from honed.timeline import Timeline

# The sizes that a family is fitted to. One sequence is traced for itself, because torch views
# tensors of a batch of one that it copies for more.
_FIT = (2, 3)
_CHECK = 5
MOST = 1 << 20  # far beyond what any device computes at once


class Cells:
    """Timelines at every batch size; `trace` makes one, and few are made. `known` is a batch size
    whose timeline exists already. With `trusts_fit` no third trace checks the fit, because the
    same model agreed with it at another length."""

    def __init__(
        self, trace: Callable[[int], Timeline], known: int = _CHECK, *, trusts_fit: bool = False
    ) -> None:
        self._trace = trace
        self._trusts_fit = trusts_fit
        self._check = known if known > max(_FIT) else _CHECK
        self._family: Family | None = None
        self._was_tried = False

    @property
    def is_fitted(self) -> bool:
        """Whether sizes were found to be affine in the batch size."""
        return self._family is not None

    def timeline(self, batch_size: int) -> Timeline:
        if batch_size == 1:
            return self._trace(1)
        if not self._was_tried:
            self._fit()
        return self._family.at(batch_size) if self._family else self._trace(batch_size)

    def _fit(self) -> None:
        """The family, if a third trace agrees with it; else every batch size is traced."""
        self._was_tried = True
        try:
            fitted = family(self._trace(_FIT[0]), self._trace(_FIT[1]), _FIT)
        except DifferentShapeError:
            return
        if self._trusts_fit or fitted.at(self._check) == self._trace(self._check):
            self._family = fitted


def most(fits: Callable[[int], bool]) -> tuple[int, int | None]:
    """The largest number that `fits`, 0 if there is none, and the least that does not; None where
    all up to MOST do. Doubling, then bisection."""
    low, high = 0, 1
    while fits(high):
        low, high = high, high * 2
        if high > MOST:
            return low, None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def largest_batch(cells: Cells, device: Device) -> MaxBatch:
    """The largest batch size whose replay succeeds on the device."""
    usable = device.usable_bytes
    assert usable is not None, "a largest batch needs a device with a size"
    found: dict[int, Usage] = {}

    def fits(batch_size: int) -> bool:
        timeline = device.with_workspaces(cells.timeline(batch_size))
        found[batch_size] = replay(timeline, device.allocator(limited=True))
        return found[batch_size].failure is None

    low, high = most(fits)
    held = found[low].reserved_peak_bytes if low else 0
    failure = None if high is None else found[high].failure
    return MaxBatch(low, usable - held, failure, is_bound=high is None)
