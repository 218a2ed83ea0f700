"""The sentinel: a short fixed computation between processes. If its speed changes, so did the
machine's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from honed.experiment.policy import COMPARE, Policy
from honed.machine.affinity import starting_on
from honed.record import Doubt

_REPEATS = 5  # The median of five is not disturbed by one that was interrupted.
_SINES = 1 << 16  # 512 KiB, in the second-level cache: shows the speed of the core.
_SUMS = 1 << 21  # 16 MiB: shows the speed of the memory.


@cache
def _arrays() -> tuple[Any, Any]:
    return np.linspace(0.0, 1.0, _SINES), np.zeros(_SUMS)


def read(cpus: Sequence[int] = ()) -> float:
    """Seconds that the computation takes now, on `cpus` (the cores of the first instance)."""
    small, large = _arrays()
    times_s = []
    with starting_on(cpus) if cpus else contextlib.nullcontext():
        for _ in range(_REPEATS):
            began_s = time.perf_counter()
            for _ in range(8):
                np.sin(small)
            large += 1.0
            times_s.append(time.perf_counter() - began_s)
    return float(np.median(times_s))


def drift(readings_s: Sequence[float]) -> float:
    """The share by which the slowest third of the experiment is slower than the fastest third."""
    if len(readings_s) < 6:
        return 0.0
    thirds = [float(np.median(part)) for part in np.array_split(np.asarray(readings_s), 3)]
    return max(thirds) / min(thirds) - 1


def side_drift(around: Sequence[float], around_first: Sequence[float]) -> tuple[float, float]:
    """The share by which the readings around the processes of one side are slower than those of
    the first side, paired block by block, and the p-value of this difference."""
    from scipy import stats

    count = min(len(around), len(around_first))
    differences = np.log(np.asarray(around[:count])) - np.log(np.asarray(around_first[:count]))
    if count < 4 or not np.ptp(differences):
        return 0.0, 1.0
    return float(np.expm1(differences.mean())), float(stats.ttest_1samp(differences, 0.0).pvalue)


def doubts(
    readings_s: Sequence[float], around: Mapping[str, Sequence[float]], policy: Policy = COMPARE
) -> list[Doubt]:
    """Doubts about the comparison. `around[side]` holds the readings around each process of the
    side; the first side comes first."""
    doubts = []
    if (change := drift(readings_s)) > policy.drift_limit:
        message = (
            f"the machine's own speed changed by {change:.0%} during the comparison (a fixed "
            "computation between the trials): interleaving cancels most of it; repeat at a "
            "quieter time"
        )
        doubts.append(Doubt("drift", message))
    (first, around_first), *others = around.items()
    for side, readings in others:
        share, p = side_drift(readings, around_first)
        if abs(share) > policy.side_drift_limit and p < policy.side_drift_p:
            slower = "slower" if share > 0 else "faster"
            message = (
                f"a fixed computation ran {abs(share):.1%} {slower} around the trials of {side} "
                f"than around those of {first}: does one of them heat or load the machine beyond "
                "its own end?"
            )
            doubts.append(Doubt("drift_with_side", message))
    return doubts
