"""The statistics of paired processes: from one number per process to a verdict.

*Unit.* One process, not one call. The calls of a process share its memory layout, its pages and
its place on the cores: processes of one Case differ by about 5 %, while the interval of each one
is far narrower, so that a test over calls finds "differences" between A and A. Each process
therefore counts once (Kalibera & Jones 2013, "Rigorous benchmarking in reasonable time"; Georges
et al. 2007).

*Statistic.* The median of the calls of a process, because a few calls that other programs delayed
move a mean but not a median. Its logarithm, because speeds compare as ratios: noise is
proportional, B/A and A/B agree, and differences of logs are near to normal. Positive is slower.

*Pairing.* Each block holds one process of every side, in random order, and the next block mirrors
it (A B, B A): slow changes of the machine cancel within a block, and a trend within two. The data
are the differences d = log B - log A of the blocks, summed up by their mean and t.

*Repeated looks.* An ordinary 95 % interval that is looked at after every block until it excludes
zero would always do so in the end. This one is a confidence sequence: with probability 95 % it
holds the truth at *all* looks together, so that one may stop at any of them, for any reason, or go
on with more budget. It inverts Bayes factors of the t statistic under a normal prior on the effect
size, which are martingales under the null hypothesis whatever the unknown variance (Robbins 1970;
Lai 1976; Gönen et al. 2005 for the closed form; Pérez-Ortiz et al. 2024, "E-statistics, group
invariance and anytime-valid testing"; Wang & Ramdas 2025, "Anytime-valid t-tests"). By Ville's
inequality such a martingale ever exceeds 1/alpha with probability alpha at most.

*Several sides* are each compared with the first. "faster" and "slower" share the 5 % by Holm's
method, stepwise over e-values (Holm 1979; Bartroff & Song 2014 for sequential trials).

*Old numbers* from a file cannot be measured in turns with new ones: they are two independent
groups of processes, compared once, by Welch's t interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["faster", "slower", "tie", "not slower", "undecided"]

ALPHA = 0.05
# The effect size that the sequence is tuned to: 1.5 standard deviations of a block's difference.
# In simulations with 1 to 3, and process noise of 1 to 2.5 %, the number of blocks until a verdict
# changed by a tenth at most, but below 1.5 no verdict is possible before six blocks; with 1.5 four
# are enough.
PRIOR_SD = 1.5
_LEAST_PER_GROUP = 3  # processes on each side of a Welch test


@dataclass(frozen=True, slots=True)
class Estimate:
    """The log of the slowdown and its interval, whose limits are infinite with too few blocks."""

    log: float
    low: float
    high: float
    count: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Question:
    """Is a side faster, slower, or alike within `resolution`? With `slower_than`: is it slower by
    more than that? Both are logs."""

    resolution: float
    slower_than: float | None = None

    def answer(self, at: Estimate) -> Kind:
        if self.slower_than is not None:
            if at.low > self.slower_than:
                return "slower"
            if at.high < self.slower_than:
                return "faster" if at.high < 0 else "not slower"
            return "undecided"
        # A difference that is certain but smaller than what matters is a tie.
        if -self.resolution <= at.low and at.high <= self.resolution:
            return "tie"
        if at.low > 0 or at.high < 0:
            return "slower" if at.low > 0 else "faster"
        return "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    kind: Kind
    estimate: Estimate


def sequence(differences: Sequence[float], alpha: float = ALPHA) -> Estimate:
    """The mean of the blocks' differences with its confidence sequence."""
    values = np.asarray(differences, dtype=float)
    mean, count = float(values.mean()), len(values)
    t = critical_t(count, alpha)
    half = math.inf if math.isinf(t) else t * float(values.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def critical_t(count: int, alpha: float = ALPHA) -> float:
    """The |t| of `count` differences that gives a Bayes factor of 1 / alpha.

    With r = 1 + count * PRIOR_SD^2 and nu = count - 1 the Bayes factor against zero is
    r^(-1/2) * ((1 + t^2/nu) / (1 + t^2/(nu r)))^(count/2); solved for t. Infinite while no t
    is enough.
    """
    if count < 2:
        return math.inf
    r = 1 + count * PRIOR_SD**2
    needed = (r / alpha**2) ** (1 / count)
    return math.sqrt((count - 1) * (needed - 1) / (1 - needed / r)) if needed < r else math.inf


def process_noise(pairs: Iterable[Sequence[float]]) -> float:
    """The standard deviation of one process's logarithm, from the differences of several pairs of
    sides: how far each difference is from the median of its pair. A difference has the noise of
    two processes. The median absolute deviation, because some processes are held up; infinite
    without two differences of one pair."""
    from scipy import stats

    rests = [d - float(np.median(pair)) for pair in pairs for d in pair if len(pair) > 1]
    if not rests:
        return math.inf
    # Around zero, the median of each pair, and not around the median of all.
    spread = stats.median_abs_deviation(rests, center=lambda *_, **__: 0.0, scale="normal")
    return float(spread) / math.sqrt(2)


def median_error(count: int, noise: float) -> float:
    """The standard error of the median of `count` differences between processes of this noise:
    that of a mean, times the root of pi / 2."""
    return math.sqrt(math.pi / 2) * noise * math.sqrt(2 / count) if count else math.inf


def judge(
    differences: Mapping[str, Sequence[float]],
    question: Question,
    settled: Mapping[str, Judgement],
) -> dict[str, Judgement]:
    """The judgement of each side; settled ones stay. By Holm's method, the more sides have been
    told apart, the less strictly the rest is judged; ties are always judged most strictly."""
    family = len(differences)
    judgements = dict(settled)
    open_sides = [side for side in differences if side not in judgements]
    while open_sides:
        apart = sum(j.kind in ("faster", "slower") for j in judgements.values())
        level, strictest = ALPHA / max(1, family - apart), ALPHA / family
        decided = {}
        for side in open_sides:
            stepped = sequence(differences[side], level)
            strict = stepped if level == strictest else sequence(differences[side], strictest)
            if (kind := question.answer(strict)) not in ("faster", "slower", "undecided"):
                decided[side] = Judgement(kind, strict)
            elif (kind := question.answer(stepped)) in ("faster", "slower"):
                decided[side] = Judgement(kind, stepped)
        if not decided:
            return judgements | {
                side: Judgement("undecided", sequence(differences[side], level))
                for side in open_sides
            }
        judgements |= decided
        open_sides = [side for side in open_sides if side not in decided]
    return judgements


def old_and_new(old: Sequence[float], new: Sequence[float], alpha: float = ALPHA) -> Estimate:
    """Welch's interval of mean(new) - mean(old), both logs of per-process medians."""
    from scipy import stats

    difference, count = float(np.mean(new) - np.mean(old)), min(len(old), len(new))
    if count < _LEAST_PER_GROUP:
        return Estimate(difference, -math.inf, math.inf, count)
    if np.ptp(old) == 0 and np.ptp(new) == 0:
        return Estimate(difference, difference, difference, count)
    test = stats.ttest_ind(np.asarray(new), np.asarray(old), equal_var=False)
    interval = test.confidence_interval(1 - alpha)
    return Estimate(difference, float(interval.low), float(interval.high), count)


def enough(count: int) -> bool:
    """Whether a group of old numbers with so many processes can be compared at all."""
    return count >= _LEAST_PER_GROUP


def budget_factor(at: Estimate, question: Question) -> float:
    """How many times the trials so far would probably decide: an interval narrows with the root of
    their number. Infinite where the difference lies on a limit of the question."""
    if math.isinf(at.half):
        return max(2.0, 6 / at.count)  # Six blocks give an interval that is narrow enough to use.
    if question.slower_than is not None:
        room = abs(at.log - question.slower_than)
    else:
        room = max(abs(at.log), question.resolution - abs(at.log))
    return (at.half / room) ** 2 if room > 0 else math.inf
