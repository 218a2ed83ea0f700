"""From samples to numbers with intervals, and to the doubts about them.

The calls of one process resemble their neighbours (turbo, neighbours on the machine), so plain
resampling would give intervals that are too narrow. Blocks of consecutive calls are resampled
instead: the circular block bootstrap (Politis & Romano 1992; after Künsch 1989).
An interval is about this process only: another process of the same Case has another median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.errors import HonedError
from honed.record import Doubt, Interval, Latency, Samples
from honed.statistics.window import Cut

Floats = npt.NDArray[np.float64]
Factors = Sequence[Floats]  # one of each call, for each instance

_RESAMPLES = 1000
_SEED = 20260101  # the same samples give the same interval
_TAIL_CALLS = 20  # the least that supports p95
_SPREAD_LIMIT = 0.10


def supports(count: int, percent: float) -> bool:
    """Whether `count` samples are enough for this percentile.

    With fewer than 1 / (1 - p) the rank ceil(n p) is n: the "percentile" is the maximum.
    """
    return count >= 1 and round(count * (100 - percent), 6) >= 100


def supports_interval(count: int, percent: float) -> bool:
    """Whether order statistics can bound this percentile on both sides with 95 %.

    All n samples lie on one side of it with probability max(p, 1-p)^n, which must not exceed
    2.5 %: 6 samples for the median, 36 for p90, 368 for p99 (Conover 1999, section 3.2).
    """
    side = max(percent, 100 - percent) / 100
    return bool(side**count <= 0.025)


def percentile(values: npt.ArrayLike, percent: float) -> float | None:
    """A percentile; None if the samples are too few. One sample has a median."""
    array = np.asarray(values, dtype=float)
    if not array.size or (percent != 50 and not supports(array.size, percent)):
        return None
    return float(np.quantile(array, percent / 100))


def latency(samples: Samples) -> Latency:
    """Every instance's calls together; the intervals resample within each instance."""
    series = _series(samples.latency_s)
    every = np.concatenate(series)
    intervals = {p: _percentile_ci95(series, every, p) for p in (50, 90, 99)}
    return Latency(
        mean=float(every.mean()), stdev=float(every.std(ddof=1)) if every.size > 1 else None,
        min=float(every.min()), max=float(every.max()), p50=float(np.median(every)),
        p90=percentile(every, 90), p95=percentile(every, 95), p99=percentile(every, 99),
        ci95=intervals[50], p90_ci95=intervals[90], p99_ci95=intervals[99],
    )  # fmt: skip


def throughput(cut: Cut, batch_size: int = 1, factors: Factors | None = None) -> Interval:
    """Sequences per second of all instances together, over the common window.

    With `factors` (see `adjust`) the interval is not widened by inputs that differ.
    """
    value = cut.calls_per_s * batch_size
    # An instance's rate is one over its mean time from end to end.
    taken, ends = cut.samples.latency_s, cut.samples.completed_s
    alike = factors or [np.ones(len(took)) for took in taken]
    cycles = [
        np.diff(np.asarray(ended), prepend=ended[0] - took[0]) * factor
        for ended, took, factor in zip(ends, taken, alike, strict=True)
        if ended
    ]
    few = any(not supports_interval(len(c), 50) for c in cycles)
    if few or len(cycles) < len(cut.samples.completed_s):
        return Interval(value, None)
    rng = np.random.default_rng(_SEED)
    rates, freedom = np.zeros(_RESAMPLES), 0
    for cycle in cycles:
        means, blocks = _resampled_means(cycle, rng)
        rates += 1 / means
        freedom += blocks - 1
    change = rates / sum(1 / c.mean() for c in cycles) - 1
    low, high = np.quantile(change, (0.025, 0.975)) * _small_sample_factor(freedom)
    return Interval(value, (value * max(0.0, 1 + min(low, 0.0)), value * (1 + max(high, 0.0))))


@dataclass(frozen=True, slots=True)
class Cures:
    """What to type for a longer warm-up and for more calls."""

    warmup: str = "warmup_s"
    calls: str = "min_samples or duration_s"


COUNTED = Cures("warmup_steps", "steps")  # where calls are counted rather than timed


def doubts(
    samples: Samples,
    settled: bool = True,
    factors: Factors | None = None,
    cures: Cures | None = None,
) -> tuple[Doubt, ...]:
    """Reasons to trust the numbers less, each with its likely cause and what to try.

    `factors` make calls with different inputs comparable (see `adjust`).
    """
    cures = cures or Cures()
    series = _series(samples.latency_s)
    if factors is not None:
        of_series = [f for f in factors if len(f)]
        series = [calls * each for calls, each in zip(series, of_series, strict=True)]
    every = np.concatenate(series)
    low, middle, high = np.quantile(every, (0.25, 0.5, 0.75))
    share = (high - low) / middle
    # kind: whether it is so, and the message
    checks = {
        "warmup": (not settled,
                   f"call times had not settled when the warm-up ended: raise {cures.warmup}"),
        "too_few": (every.size < _TAIL_CALLS, f"{every.size} calls say little about the tail: "
                    f"raise {cures.calls}"),
        "spread": (high - low > _SPREAD_LIMIT * middle,
                   f"the middle half of the calls spreads over {share:.0%} of the median: "
                   "other programs, or sequences of many lengths?"),
        "trend": _trend(series, cures),
        "first_call": _first_call(series, cures),
    }  # fmt: skip
    return tuple(Doubt(kind, message) for kind, (holds, message) in checks.items() if holds)


def _first_call(series: Sequence[Floats], cures: Cures) -> tuple[bool, str]:
    """Compare the first call with the median, in the instance where it is the slowest."""
    longest = max((calls[0] / np.median(calls) for calls in series if _first_stands_out(calls)),
                  default=0.0)  # fmt: skip
    every = np.concatenate(series)
    wide = every.size > 1 and every.std(ddof=1) > every.mean()
    effect = ", and makes the standard deviation larger than the mean" if wide else ""
    return longest > 0, (
        f"the first call measured is the slowest by far: it took {longest:.1f} times the median"
        f"{effect}: raise {cures.warmup}"
    )


def _trend(series: Sequence[Floats], cures: Cures) -> tuple[bool, str]:
    """Compare the first third with the last, in the instance where they differ most."""
    worst = 0.0
    for calls in series:
        third = len(calls) // 3
        if third < 3:
            continue
        first, last = np.median(calls[:third]), np.median(calls[-third:])
        # Within the thirds: a trend widens the whole run's spread, and would hide itself.
        spread = max(_iqr(calls[:third]), _iqr(calls[-third:]), 0.01 * first)
        change = float(last / first - 1)
        if abs(last - first) > spread and abs(change) > abs(worst):
            worst = change
    cause = "the machine slowed down (heat, other programs)" if worst > 0 else "not yet warm"
    cure = "let it rest and repeat" if worst > 0 else f"raise {cures.warmup}"
    return worst != 0, f"calls changed by {worst:+.0%} within the run: {cause}? {cure}"


def _first_stands_out(calls: Floats) -> bool:
    return len(calls) >= 5 and bool(calls[0] > 2 * np.median(calls) and calls[0] == calls.max())


def _iqr(calls: Floats) -> float:
    low, high = np.quantile(calls, (0.25, 0.75))
    return float(high - low)


def _series(instances: Sequence[Sequence[float]]) -> list[Floats]:
    series = [np.asarray(s, dtype=float) for s in instances if len(s)]
    if not series:
        raise HonedError(
            "no whole call fits into the time that the instances share",
            "raise duration_s or min_samples",
        )
    return series


def _percentile_ci95(
    series: Sequence[Floats], every: Floats, percent: int
) -> tuple[float, float] | None:
    """The bootstrap of "which share lies at or under it", mapped back through the samples.

    Woodruff's interval (1952). Resampling shares costs one sum per block where resampling
    quantiles would sort every resample; for a hundred thousand calls that is 0.1 s, not 10 s.
    """
    if not supports_interval(every.size, percent):
        return None
    rng = np.random.default_rng(_SEED)
    value = np.quantile(every, percent / 100)
    shares, freedom = np.zeros(_RESAMPLES), 0
    for calls in series:
        under = (calls <= value).astype(float)
        means, blocks = _resampled_means(under, rng)
        shares += (means - under.mean()) * calls.size / every.size
        freedom += blocks - 1
    low, high = np.quantile(shares, (0.025, 0.975)) * _small_sample_factor(freedom)
    ends = np.clip((percent / 100 - high, percent / 100 - low), 0, 1)
    left, right = np.quantile(every, ends)
    return float(min(left, value)), float(max(right, value))


def _block_length(count: int) -> int:
    """n^(1/3) has the right order (Künsch 1989; Hall, Horowitz & Jing 1995).

    Twice that, because halves of it missed the truth in 15 % of simulated runs whose neighbours
    correlate with 0.8, not in 5 to 10 %; at most a quarter, so that there are blocks to draw from.
    """
    return max(1, min(math.ceil(2 * math.cbrt(count)), count // 4))


def _resampled_means(values: Floats, rng: np.random.Generator) -> tuple[Floats, int]:
    """The means of resampled series, and how many blocks each was made of."""
    count = len(values)
    length = _block_length(count)
    blocks = math.ceil(count / length)
    running = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:length])))))
    block_sums = running[length : length + count] - running[:count]
    starts = rng.integers(0, count, size=(_RESAMPLES, blocks))
    return block_sums[starts].sum(axis=1) / (blocks * length), blocks


def _small_sample_factor(freedom: int) -> float:
    """Widen an interval from few blocks: Student's t over the normal, as for batch means."""
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1), 0.975) / stdtrit(np.inf, 0.975))


def over_processes(values: Sequence[float], alpha: float = 0.05) -> Interval:
    """The geometric mean of one number of each process, with Student's interval of that mean.

    Each process counts once: the intervals of single processes say nothing about the next process.
    Values that are not all positive have no logarithms, and give the plain mean.
    """
    from scipy import stats

    positive = min(values) > 0
    points = np.log(values) if positive else np.asarray(values, float)
    mean, count = float(points.mean()), len(values)
    center = math.exp(mean) if positive else mean
    if count < 2:
        return Interval(center)
    half = float(stats.t.ppf(1 - alpha / 2, count - 1) * points.std(ddof=1)) / math.sqrt(count)
    ends = (mean - half, mean + half)
    return Interval(center, (math.exp(ends[0]), math.exp(ends[1])) if positive else ends)
