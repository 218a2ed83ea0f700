"""A short fixed computation between the trials: if its own speed changes, the machine's did."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from honed.machine.affinity import starting_on
from honed.record import Doubt

_REPEATS = 5  # their median: one that was interrupted does not count
_SINES = 1 << 16  # in the second-level cache: the speed of the core
_SWEEPS = 1 << 21  # 16 MiB: the speed of the memory
CHANGE_LIMIT = 0.05
_SIDE_LIMIT = 0.01
_SIDE_P = 0.01


@cache
def _arrays() -> tuple[Any, Any]:
    return np.linspace(0.0, 1.0, _SINES), np.zeros(_SWEEPS)


def read(cpus: Sequence[int] = ()) -> float:
    """Seconds that the computation takes now, on `cpus` (where the first instance sits)."""
    small, large = _arrays()
    times = []
    with starting_on(cpus) if cpus else contextlib.nullcontext():
        for _ in range(_REPEATS):
            began = time.perf_counter()
            for _ in range(8):
                np.sin(small)
            large += 1.0
            times.append(time.perf_counter() - began)
    return float(np.median(times))


def drift(readings_s: Sequence[float]) -> float:
    """The change between the fastest and the slowest third of the comparison, by medians."""
    if len(readings_s) < 6:
        return 0.0
    thirds = [float(np.median(part)) for part in np.array_split(np.asarray(readings_s), 3)]
    return max(thirds) / min(thirds) - 1


def lean(around: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """How much slower the sentinel was around one side's trials than around the first side's, as
    paired block by block, and the p-value of that."""
    from scipy import stats

    count = min(len(around), len(base))
    differences = np.log(np.asarray(around[:count])) - np.log(np.asarray(base[:count]))
    if count < 4 or not np.ptp(differences):
        return 0.0, 1.0
    return float(np.expm1(differences.mean())), float(stats.ttest_1samp(differences, 0.0).pvalue)


def doubts(readings_s: Sequence[float], around: dict[str, list[float]]) -> list[Doubt]:
    """What the sentinel says against the comparison; `around[side]` are the readings about each
    of that side's trials, the first side first."""
    found = []
    if (change := drift(readings_s)) > CHANGE_LIMIT:
        found.append(
            Doubt(
                "drift",
                f"the machine's own speed changed by {change:.0%} during the comparison (a fixed "
                "computation between the trials): interleaving cancels most of it; repeat at a "
                "quieter time",
            )
        )
    (first, base), *others = around.items()
    for side, readings in others:
        share, p = lean(readings, base)
        if abs(share) > _SIDE_LIMIT and p < _SIDE_P:
            slower = "slower" if share > 0 else "faster"
            found.append(
                Doubt(
                    "drift_with_side",
                    f"a fixed computation ran {abs(share):.1%} {slower} around the trials of "
                    f"{side} than around those of {first}: does one of them heat or load the "
                    "machine beyond its own end?",
                )
            )
    return found
