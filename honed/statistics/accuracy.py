"""How much of the model's accuracy a setting keeps, in the user's metric, with an interval.

fp32 eager and the setting answer the same examples, so the interval is that of the paired
difference: most of the noise of few examples is common to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from honed.record import Accuracy, Doubt

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

_SEED = 20260101  # the same predictions give the same interval
_RESAMPLES = 1000
_WORK = 5_000_000  # values resampled in all: a second or two
_Z = NormalDist().inv_cdf(0.975)
_NDCG_AT = 10
_ROUNDING = 1e-9  # 1 - 0.995 is a little more than 0.005


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answers of the reference and of the setting to each truth.

    Truths with the same number in `groups` belong to one example.
    """

    truth: Sequence[float]
    reference: Sequence[float]
    value: Sequence[float]
    groups: Sequence[int]


def judge(metric: str, predictions: Predictions, allowed: float | None, source: str) -> Accuracy:
    """The metric of both, the drop between them (absolute) and its 95 % interval."""
    truth, reference, value = (
        np.asarray(v, np.float64)
        for v in (predictions.truth, predictions.reference, predictions.value)
    )
    places = _places(predictions.groups)
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


def complaint(result: Accuracy) -> str:
    """Why the accuracy is not good enough, as a sentence; empty if it is, or has no limit."""
    if result.drop is None or result.value is None:
        return "the outputs on the evaluation examples are not finite (NaN or infinity)"
    if result.allowed is None or result.drop <= result.allowed + _ROUNDING:
        return ""
    return (
        f"{result.metric} falls from {result.reference:.4f} to {result.value:.4f}, by "
        f"{result.drop:.2%}: more than max_accuracy_drop={result.allowed:.4g}"
    )


def doubts(result: Accuracy, chance_level: float | None = None) -> tuple[Doubt, ...]:
    """Examples that are too few to decide, or that even fp32 answers no better than by chance."""
    sentences = []
    ends = result.drop_ci95
    if result.allowed is not None and ends is not None and ends[0] <= result.allowed < ends[1]:
        sentences.append(
            f"{result.examples} examples cannot tell whether {result.metric} falls by more than "
            f"{result.allowed:.2%}: the drop is {result.drop:.2%}, 95 % in {ends[0]:.2%} to "
            f"{ends[1]:.2%}"
        )
    if chance_level is not None and result.reference <= chance_level:
        sentences.append(
            f"fp32 itself reaches {result.metric} {result.reference:.3f}, no more than always the "
            f"commonest answer ({chance_level:.3f}): do the examples belong to this model?"
        )
    return tuple(Doubt("accuracy", sentence) for sentence in sentences)


def chance(metric: str, truth: Sequence[float]) -> float | None:
    """What answering every example with the commonest label reaches; 0 for rankings."""
    if metric == "accuracy":
        _, counts = np.unique(np.asarray(truth), return_counts=True)
        return float(counts.max() / counts.sum())
    return 0.0 if metric == "spearman" else None


def f1(truth: Floats, answers: Floats) -> float:
    """Macro F1: the mean over the labels that occur, so that rare ones count as much."""
    labels = np.union1d(truth, answers)
    hits = np.array([np.sum((truth == k) & (answers == k)) for k in labels])
    both = np.array([np.sum(truth == k) + np.sum(answers == k) for k in labels])
    return float(np.mean(2 * hits / both))


def spearman(truth: Floats, answers: Floats) -> float:
    """Spearman's rank correlation; 0 if all values of one of the two are equal."""
    from scipy.stats import rankdata

    if np.ptp(truth) == 0 or np.ptp(answers) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(truth), rankdata(answers))[0, 1])


def ndcg(relevance: Floats, answers: Floats) -> float:
    """nDCG at 10 with the relevances as gains; equal scores keep the order of the file."""
    discounts = 1 / np.log2(np.arange(2, 2 + min(_NDCG_AT, len(answers))))
    chosen = np.argsort(-answers, kind="stable")[:_NDCG_AT]
    best = np.sort(relevance)[::-1][:_NDCG_AT]
    return float(relevance[chosen] @ discounts / (best @ discounts))


def rank_overlap(reference: Floats, answers: Floats) -> float:
    """The share of the reference's upper half of a ranking (at most 10) that this one keeps."""
    count = min(_NDCG_AT, max(1, len(answers) // 2))
    first, second = (set(np.argsort(-s, kind="stable")[:count]) for s in (reference, answers))
    return len(first & second) / count


def _set(answers: Floats) -> set[float]:
    """Of answers for each label (see `predictions.answers`), those that say yes."""
    return set(answers[answers % 2 == 1].tolist())


def exact_match(truth: Floats, answers: Floats) -> float:
    """1 if the sequence has these labels and no other."""
    return float(_set(truth) == _set(answers))


def micro_f1(truth: Floats, answers: Floats) -> float:
    """F1 over all labels of all sequences together."""
    hits = np.sum((truth % 2 == 1) & (truth == answers))
    both = np.sum(truth % 2 == 1) + np.sum(answers % 2 == 1)
    return float(2 * hits / both) if both else 0.0


def macro_f1(truth: Floats, answers: Floats) -> float:
    """The mean over the labels of the F1 of each; 0 for a label that never occurs, as usual."""
    place = truth // 2
    labels = np.unique(place)
    return float(np.mean([_label_f1(truth[place == k], answers[place == k]) for k in labels]))


def _label_f1(truth: Floats, answers: Floats) -> float:
    both = np.sum(truth % 2 == 1) + np.sum(answers % 2 == 1)
    return 2 * float(np.sum((truth % 2 == 1) & (truth == answers))) / both if both else 0.0


def _accuracy(truth: Floats, answers: Floats) -> float:
    return float(np.mean(truth == answers))


def _mean_answer(_: Floats, answers: Floats) -> float:
    """For answers that are the measure already: an agreement or a cosine."""
    return float(answers.mean())


NAMES = {"ndcg": f"ndcg@{_NDCG_AT}", "rank_overlap": f"rank_overlap@{_NDCG_AT}"}
_PER_EXAMPLE: Mapping[str, Metric] = {
    "accuracy": _accuracy, "ndcg": ndcg, "rank_overlap": rank_overlap, "exact_match": exact_match,
    "label_agreement": _mean_answer, "top1_agreement": _mean_answer, "cosine": _mean_answer,
}  # fmt: skip
# The words of one sentence resemble each other, so the bootstrap draws whole sentences.
_POOLED: Mapping[str, Metric] = {"f1": f1, "spearman": spearman, "accuracy": _accuracy,
                                "micro_f1": micro_f1, "macro_f1": macro_f1}  # fmt: skip


def _places(groups: Sequence[int]) -> list[npt.NDArray[np.intp]]:
    """Where the truths of each example stand, in the order of the examples."""
    numbers = np.asarray(groups)
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, cuts)


def _mean_ci95(drops: Floats) -> tuple[float, float] | None:
    """The interval of the mean paired difference.

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
