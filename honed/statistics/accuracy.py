"""How much of the model's accuracy a setting keeps, in the user's own metric, and how surely.

The same examples are judged twice, by fp32 eager and by the setting, so the interval is that of
the paired difference: most of the noise of few examples is common to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.record import Accuracy, Doubt

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

_SEED = 20260101  # the same predictions give the same interval
_RESAMPLES = 1000
_WORK = 5_000_000  # values resampled in all: a second or two
_Z = 1.959964  # 97.5 % of the normal distribution
_NDCG_AT = 10
_ROUNDING = 1e-9  # 1 - 0.995 is a little more than 0.005


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the reference and the setting said about each truth; groups belong to one example."""

    truth: Sequence[float]
    reference: Sequence[float]
    value: Sequence[float]
    groups: Sequence[int]


def judge(metric: str, said: Predictions, allowed: float | None, source: str) -> Accuracy:
    """The metric of both, the drop between them (absolute) and its 95 % interval."""
    truth, reference, value = (
        np.asarray(v, np.float64) for v in (said.truth, said.reference, said.value)
    )
    places = _places(said.groups)
    if metric in _PER_EXAMPLE and not (metric == "accuracy" and len(places) < len(truth)):
        score = _PER_EXAMPLE[metric]
        before = np.array([score(truth[p], reference[p]) for p in places])
        after = np.array([score(truth[p], value[p]) for p in places])
        ends = (float(before.mean()), float(after.mean()))
        ci95 = _mean_ci95(before - after)
    else:
        pooled = _POOLED[metric]
        ends = pooled(truth, reference), pooled(truth, value)
        ci95 = _pooled_ci95(pooled, (truth, reference, value), places)
    return Accuracy(
        metric=NAMES.get(metric, metric), reference=ends[0], value=ends[1],
        drop=ends[0] - ends[1], drop_ci95=ci95, allowed=allowed, examples=len(places),
        source=source,
    )  # fmt: skip


def complaint(found: Accuracy) -> str:
    """Why the gate stays closed, as a sentence; empty where it opens or nothing was asked."""
    if found.drop is None or found.value is None:
        return "the outputs on the evaluation examples are not finite (NaN or infinity)"
    if found.allowed is None or found.drop <= found.allowed + _ROUNDING:
        return ""
    return (
        f"{found.metric} falls from {found.reference:.4f} to {found.value:.4f}, by "
        f"{found.drop:.2%}: more than max_accuracy_drop={found.allowed:.4g}"
    )


def doubts(found: Accuracy, least: float | None = None) -> tuple[Doubt, ...]:
    """Where the examples are too few to tell, or the model itself knows nothing about them.

    `least` is what the emptiest of models would reach.
    """
    said = []
    ends = found.drop_ci95
    if found.allowed is not None and ends is not None and ends[0] <= found.allowed < ends[1]:
        said.append(
            f"{found.examples} examples cannot tell whether {found.metric} falls by more than "
            f"{found.allowed:.2%}: the drop is {found.drop:.2%}, 95 % in {ends[0]:.2%} to "
            f"{ends[1]:.2%}"
        )
    if least is not None and found.reference <= least:
        said.append(
            f"fp32 itself reaches {found.metric} {found.reference:.3f}, no more than always the "
            f"commonest answer ({least:.3f}): do the examples belong to this model?"
        )
    return tuple(Doubt("accuracy", text) for text in said)


def chance(metric: str, truth: Sequence[float]) -> float | None:
    """What always the commonest label reaches; for an order of things, none at all."""
    if metric == "accuracy":
        _, counts = np.unique(np.asarray(truth), return_counts=True)
        return float(counts.max() / counts.sum())
    return 0.0 if metric == "spearman" else None


def f1(truth: Floats, said: Floats) -> float:
    """The mean over the labels that occur (macro): a rare label counts as much as a common one."""
    labels = np.union1d(truth, said)
    hits = np.array([np.sum((truth == k) & (said == k)) for k in labels])
    both = np.array([np.sum(truth == k) + np.sum(said == k) for k in labels])
    return float(np.mean(2 * hits / both))


def spearman(truth: Floats, said: Floats) -> float:
    """0 where one of the two has no order at all."""
    first, second = _ranks(truth), _ranks(said)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Floats = np.cumsum(counts) - (counts - 1) / 2
    return means[place]


def ndcg(relevance: Floats, said: Floats) -> float:
    """At 10, with the relevances as gains; equal scores keep the file's order."""
    discounts = 1 / np.log2(np.arange(2, 2 + min(_NDCG_AT, len(said))))
    chosen = np.argsort(-said, kind="stable")[:_NDCG_AT]
    best = np.sort(relevance)[::-1][:_NDCG_AT]
    return float(relevance[chosen] @ discounts / (best @ discounts))


def rank_overlap(reference: Floats, said: Floats) -> float:
    """The share of the reference's upper half of a ranking (at most 10) that is in this one's."""
    count = min(_NDCG_AT, max(1, len(said) // 2))
    first, second = (set(np.argsort(-s, kind="stable")[:count]) for s in (reference, said))
    return len(first & second) / count


def _accuracy(truth: Floats, said: Floats) -> float:
    return float(np.mean(truth == said))


def _own(_: Floats, said: Floats) -> float:
    """What was sent is the measure itself: agreement, cosine."""
    return float(said.mean())


NAMES = {"ndcg": f"ndcg@{_NDCG_AT}", "rank_overlap": f"rank_overlap@{_NDCG_AT}"}
_PER_EXAMPLE: Mapping[str, Metric] = {
    "accuracy": _accuracy,
    "ndcg": ndcg,
    "rank_overlap": rank_overlap,
    "top1_agreement": _own,
    "cosine": _own,
}
# The words of one sentence resemble each other: they are drawn together.
_POOLED: Mapping[str, Metric] = {"f1": f1, "spearman": spearman, "accuracy": _accuracy}


def _places(groups: Sequence[int]) -> list[npt.NDArray[np.intp]]:
    """The places of each example's truths, in the order of the examples."""
    numbers = np.asarray(groups)
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, cuts)


def _mean_ci95(drops: Floats) -> tuple[float, float] | None:
    """Of the mean paired difference.

    Where every example is right or wrong, McNemar's counts with half an example added to each cell
    (Agresti and Min 2005): without a single difference the interval is still not a point.
    """
    count = len(drops)
    if count < 2:
        return None
    if np.isin(drops, (-1, 0, 1)).all():
        lost, won = np.sum(drops == 1) + 0.5, np.sum(drops == -1) + 0.5
        size = count + 2
        mean, spread = (lost - won) / size, math.sqrt(lost + won - (lost - won) ** 2 / size) / size
        return float(mean - _Z * spread), float(mean + _Z * spread)
    random = np.random.default_rng(_SEED)
    means = [drops[random.integers(0, count, count)].mean() for _ in range(_resamples(count))]
    return _ends(means)


def _pooled_ci95(
    metric: Metric, series: tuple[Floats, Floats, Floats], places: Sequence[npt.NDArray[np.intp]]
) -> tuple[float, float] | None:
    """A bootstrap over whole examples, the same draw for the reference and the setting."""
    if len(places) < 2:
        return None
    random = np.random.default_rng(_SEED)
    drops = []
    for _ in range(_resamples(sum(map(len, places)))):
        drawn = random.integers(0, len(places), len(places))
        chosen = np.concatenate([places[index] for index in drawn])
        truth, reference, value = (values[chosen] for values in series)
        drops.append(metric(truth, reference) - metric(truth, value))
    return _ends(drops)


def _resamples(count: int) -> int:
    return max(100, min(_RESAMPLES, _WORK // count))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(np.asarray(values), (0.025, 0.975))
    return float(low), float(high)
