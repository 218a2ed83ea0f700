"""Are the importances of a search true, and does it find the best setting?

    python -m benchmarks.simulated_search [--landscapes 20] [--trials 15,20,30] [--noise 0.05]
                                          [--together 0] [--sampler gp] [--quick]

The planner of `honed tune` searches landscapes of numbers, so the truth is known: each key has
effects on the logarithm of the cost, half of the keys other than engine and precision have none,
and trials have noise. With `--together`, each engine and precision differ from their sum by so
much. Nothing is measured, so the machine need not be quiet.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev, pvariance

from scipy.stats import spearmanr

from honed.study import Setting, Trial, candidates
from honed.tune import surrogate
from honed.tune.importance import importances
from honed.tune.planner import View, in_stages
from honed.tune.question import Question, parse
from honed.tune.space import Branch, Dimension, Space

_RANK, _FLAT = 0.9, 0.05

_BRANCHES = (
    Branch("torch", "fp32", 1.0), Branch("openvino", "int8", 4.0),
    Branch("onnxruntime", "int8", 4.0), Branch("torch", "int8", 4.0),
    Branch("openvino", "bf16", 2.0), Branch("onnxruntime", "fp32", 1.0),
    Branch("openvino", "fp32", 1.0),
)  # fmt: skip
_DIMENSIONS = (
    Dimension("threads", (1, 2, None), True, "search"),
    Dimension("instances", (1, 2), True, "search"),
    Dimension("batch_size", (1, 2, 4, 8, 16, 32), True, "search"),
    Dimension("openvino.streams", (None, 1, 2, 4), True, "search"),
    Dimension("openvino.hint", (None, "latency", "throughput"), False, "search"),
    Dimension("torch.mode", (None, "eager", "compile"), False, "search"),
    Dimension("allocator", (None, "jemalloc", "tcmalloc"), False, "polish"),
    Dimension("thp", (None, "always"), False, "polish"),
    Dimension("malloc_arenas", (None, 1, 2, 4), True, "polish"),
)
# The usual standard deviation of each key's effects, as a logarithm.
_SIZES = {
    "backend": 0.3, "precision": 0.5, "threads": 0.25, "instances": 0.15, "batch_size": 0.2,
    "openvino.streams": 0.1, "openvino.hint": 0.1, "torch.mode": 0.1, "allocator": 0.06,
    "thp": 0.04, "malloc_arenas": 0.03,
}  # fmt: skip


_GROUPS = (
    ("threads", "instances"), ("allocator", "malloc_arenas"), ("batch_size",), ("thp",),
    ("openvino.streams",), ("openvino.hint",), ("torch.mode",),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Landscape:
    """`effects` of each key's values, and of engines and precisions `together`, as logarithms."""

    effects: Mapping[str, Mapping[object, float]]
    together: Mapping[tuple[str, str], float]

    @classmethod
    def drawn(cls, space: Space, seed: int, together: float) -> Landscape:
        rng = random.Random(seed)
        effects = {}
        for key, axis in space.axes().items():
            is_flat = key not in ("backend", "precision") and rng.random() < 0.5
            size = 0.0 if is_flat else _SIZES[key] * math.exp(rng.gauss(0, 0.4))
            ordered = any(d.key == key and d.ordered for d in space.dimensions)
            effects[key] = _effects(rng, axis.values, size, ordered)
        return cls(effects, {b.key: rng.gauss(0, together) for b in space.branches})

    def log_cost(self, space: Space, setting: Setting) -> float:
        row = surrogate.row(space, setting)
        return self.together[setting.branch] + sum(self.effects[k][v] for k, v in row.items())

    @property
    def flat(self) -> set[str]:
        return {key for key, of in self.effects.items() if not any(of.values())}

    def shares(self, space: Space, tried: Sequence[Setting]) -> dict[str, float]:
        """The Sobol index of each key of which several values were tried."""
        engines = len({b.backend for b in space.branches})
        rows = [surrogate.row(space, setting) for setting in tried]
        variances = {}
        for key, effects in self.effects.items():
            values = {row[key] for row in rows if key in row}
            if len(values) > 1:
                part = 1 / engines if "." in key else 1.0
                variances[key] = part * pvariance(effects[value] for value in values)
        return {key: each / sum(variances.values()) for key, each in variances.items()}

    def least(self, space: Space) -> float:
        """The logarithm of the least cost of the whole space. Effects add up, so that each group
        of keys that cannot have every combination of values has a least of its own."""
        return min(
            self.log_cost(space, branch.setting)
            + sum(self._least_change(space, branch, keys) for keys in _GROUPS)
            for branch in space.branches
        )

    def _least_change(self, space: Space, branch: Branch, keys: Sequence[str]) -> float:
        """How much the best values of some keys change the logarithm of the branch's cost."""
        dimensions = [d for d in space.dimensions if d.key in keys]
        settings = (
            space.normal(
                {**branch.setting, **dict(zip((d.key for d in dimensions), row, strict=True))}
            )
            for row in itertools.product(*(d.values for d in dimensions))
        )
        able = (s for s in settings if space.refusal(s) is None)
        return min(self.log_cost(space, s) for s in able) - self.log_cost(space, branch.setting)


def _effects(
    rng: random.Random, values: Sequence[object], size: float, ordered: bool
) -> dict[object, float]:
    """Effects with the standard deviation `size`; a parabola over ordered values."""
    drawn = [rng.gauss(0, 1) for _ in values]
    if ordered:
        slope, bend = rng.gauss(0, 1), rng.gauss(0, 0.5)
        places = [2 * place / len(values) for place in range(len(values))]
        drawn = [slope * place + bend * place**2 for place in places]
    middle, spread = fmean(drawn), pstdev(drawn)
    return {v: size * (each - middle) / spread for v, each in zip(values, drawn, strict=True)}


def space_of(question: Question) -> Space:
    return Space(question.base, _BRANCHES, _DIMENSIONS)


def searched(
    landscape: Landscape, question: Question, space: Space, count: int, noise: float
) -> list[Trial]:
    """The trials of one search with the noise of one process each."""
    rng, trials = random.Random(question.seed), list[Trial]()
    for number in range(count):
        proposal = in_stages(View(question, space, trials, number / count))
        if proposal is None:
            break
        cost = math.exp(landscape.log_cost(space, proposal.setting) + rng.gauss(0, noise))
        trials.append(
            Trial(number, proposal.stage, proposal.setting, "ok", None, (1 / cost,), (cost,))
        )
    return trials


@dataclass(frozen=True, slots=True)
class Found:
    """Of one search: the rank correlation of importances and shares, the largest importance of a
    key without effects, and by which share the best of its trials is slower than the best of all.
    """

    rank: float
    flat: float
    regret: float


def judged(seed: int, count: int, noise: float, together: float, sampler: str = "gp") -> Found:
    words = ("model=bert-base-uncased", "objective=throughput", "study=simulated")
    question = parse([*words, f"trials={count}", f"seed={seed}", f"sampler={sampler}"])
    space = space_of(question)
    landscape = Landscape.drawn(space, seed, together)
    trials = searched(landscape, question, space, count, noise)
    truth = landscape.shares(space, [trial.setting for trial in trials])
    shares = importances(space, trials)
    told = {key: shares.get(key) or 0.0 for key in truth}
    rank = float(spearmanr([truth[key] for key in truth], [told[key] for key in truth]).statistic)
    flat = max((share for key, share in told.items() if key in landscape.flat), default=0.0)
    best = candidates(trials)[0].setting
    regret = math.expm1(landscape.log_cost(space, best) - landscape.least(space))
    return Found(rank, flat, regret)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--landscapes", type=int, default=20)
    parser.add_argument("--trials", default="15,20,30")
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--together", type=float, default=0.0)
    parser.add_argument("--sampler", default="gp")
    parser.add_argument("--quick", action="store_true", help="one landscape: does it run?")
    asked = parser.parse_args()
    good = True
    counts = [int(text) for text in asked.trials.split(",")]
    for count in [15] if asked.quick else counts:
        seeds = range(1 if asked.quick else asked.landscapes)
        found = [judged(s, count, asked.noise, asked.together, asked.sampler) for s in seeds]
        ranks = sorted(of.rank for of in found)
        over = sum(of.flat > _FLAT for of in found)
        regrets = sorted(of.regret for of in found)
        print(
            f"{count} trials: rank correlation {median(ranks):.2f} in the median, "
            f"{fmean(ranks):.2f} in the mean, {ranks[len(ranks) // 10]:.2f} one in ten; "
            f"a flat key over {_FLAT:.0%} in {over} of {len(found)}; best trial behind the best "
            f"of all by {median(regrets):.1%}, one in ten {regrets[9 * len(regrets) // 10]:.1%}",
            flush=True,
        )
        good &= median(ranks) >= _RANK and not over
    sys.exit(0 if asked.quick or good else 1)


if __name__ == "__main__":
    main()
