"""The next setting of one branch: beside the settings that lead it, one or two keys away.

A setting of many keys that nobody has tried is rarely good, and says nothing about any of them.
The neighbours of a good setting are rarely bad, and each of them tells what one or two keys do.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from honed.compose import Choice
from honed.study import Candidate, Setting
from honed.tune import surrogate
from honed.tune.planner import View
from honed.tune.policy import POLICY
from honed.tune.space import ROOT, Dimension

if TYPE_CHECKING:
    pass

_RAN = "ran"  # the constraint that settings without a result violate


def suggest(
    view: View, branch: tuple[str, str], dimensions: Sequence[Dimension]
) -> Setting | None:
    """A new setting beside those that lead the branch, as the chosen sampler ranks them; None if
    all of them were tried.

    The model is made anew from the trials each time: this takes about a tenth of a second, a trial
    takes several seconds, and nothing can go stale.
    """
    of_branch = [c for c in view.candidates if c.ok and c.setting.branch == branch]
    leaders = [c.setting for c in of_branch[: POLICY.sampled_leaders]] or [view.bare(branch)]
    # The model believes in far values of which it knows nothing; a batch of 32 takes long and says
    # little about a batch of 2.
    in_steps = view.question.sampler == "gp"
    around = (neighbours(view, s, dimensions, in_steps=in_steps) for s in leaders)
    pool = [s for s in dict.fromkeys(itertools.chain(*around)) if not view.tried(s)]
    if view.question.sampler == "random" or not of_branch:
        ranked = random.Random(_seed(view)).sample(pool, len(pool))
    elif view.question.sampler == "tpe":
        proposed = _proposed(view, branch, dimensions)
        ranked = sorted(pool, key=lambda setting: _distance(dimensions, proposed, setting))
    else:
        ranked = _by_improvement(view, of_branch, pool)
    return next((setting for setting in ranked if view.is_new(setting)), None)


def neighbours(
    view: View, leader: Setting, dimensions: Sequence[Dimension], *, in_steps: bool = False
) -> Iterator[Setting]:
    """The settings with another value of one key, then those with other values of two. `in_steps`:
    an ordered key goes to the next smaller or larger value, unless it is untouched."""

    def others(of: Dimension) -> list[Choice]:
        value, values = leader.get(of.key, of.start), of.values
        if in_steps and of.ordered and value is not None:
            place = values.index(value)
            values = (*values[max(0, place - 1) : place], *values[place + 1 : place + 2])
        return [other for other in values if other != value]

    for count in (1, 2):
        for changed in itertools.combinations(dimensions, count):
            for values in itertools.product(*map(others, changed)):
                given = {d.key: v for d, v in zip(changed, values, strict=True)}
                yield view.space.normal({**leader, **given})


def _by_improvement(
    view: View, of_branch: Sequence[Candidate], pool: Sequence[Setting]
) -> list[Setting]:
    """The pool by the expected improvement over the branch's best setting, the largest first
    (Jones, Schonlau & Welch 1998), times the probability that every limit is kept (Gardner et al.
    2014)."""
    if not pool:
        return []
    tried = [c for c in view.candidates if c.costs]
    costs = [math.log(c.cost) for c in tried]
    worst = max(costs) + POLICY.failure_cost_log
    failed = [c.setting for c in view.candidates if not c.costs]
    settings = [*(c.setting for c in tried), *failed]
    model = surrogate.fitted(view.space, settings, [*costs, *([worst] * len(failed))])
    rows = [surrogate.row(view.space, setting) for setting in pool]
    expected, deviation = model.predict(rows)
    chance = np.ones(len(pool))
    for limit in view.question.limits:
        chance *= _chance(view, tried, limit, pool)
    kept = [c.setting for c in of_branch if c.feasible]
    gain = np.ones(len(pool))
    if kept:
        best = model.predict([surrogate.row(view.space, setting) for setting in kept])[0].min()
        gain = _expected_improvement(best - expected, deviation)
    scores = gain * chance
    return [pool[place] for place in np.argsort(-scores, kind="stable")]


def _chance(view: View, tried: Sequence[Candidate], limit: str, pool: Sequence[Setting]) -> Any:
    """The probability that each setting keeps the limit, by the ratios of the measure to it."""
    from scipy.stats import norm

    known = [c for c in tried if limit in c.violations]
    if not known:
        return np.ones(len(pool))
    ratios = [math.log1p(max(c.violations[limit], -0.99)) for c in known]
    model = surrogate.fitted(view.space, [c.setting for c in known], ratios)
    expected, deviation = model.predict([surrogate.row(view.space, s) for s in pool])
    return norm.cdf(-expected / deviation)


def _expected_improvement(by: Any, deviation: Any) -> Any:
    from scipy.stats import norm

    score = by / deviation
    return deviation * (score * norm.cdf(score) + norm.pdf(score))


def _seed(view: View) -> int:
    return view.question.seed * 7919 + len(view.trials)


def _distance(dimensions: Sequence[Dimension], one: Setting, other: Setting) -> float:
    """How far apart two settings are: by the places of ordered values, 1 for each other value that
    differs."""
    total = 0.0
    for d in dimensions:
        a, b = one.get(d.key, d.start), other.get(d.key, d.start)
        places = abs(d.values.index(a) - d.values.index(b)) / max(1, len(d.values) - 1)
        total += places if d.ordered else float(a != b)
    return total


def _proposed(view: View, branch: tuple[str, str], dimensions: Sequence[Dimension]) -> Setting:
    """What Optuna's tree-structured Parzen estimator proposes, from the branch's trials. A failure
    is worth twice the worst that ran to its model, and violates a constraint."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    count = len(view.question.objectives)
    sampler = optuna.samplers.TPESampler(seed=_seed(view), n_startup_trials=POLICY.sampler_startup)
    study = optuna.create_study(directions=["minimize"] * count, sampler=sampler)
    of_branch = [c for c in view.candidates if c.setting.branch == branch]
    logs = [[math.log(cost) for cost in c.costs] for c in of_branch if c.costs]
    columns = zip(*logs, strict=True) if logs else [(0.0,)] * count
    worst = [max(column) + POLICY.failure_cost_log for column in columns]
    some_failed = not all(c.ok for c in of_branch)
    for candidate in of_branch:
        if not _is_inside(candidate.setting, dimensions):
            continue
        # Every trial has the same constraints, because the samplers require it.
        constraints = {k: candidate.violations.get(k, 0.0) for k in view.question.limits}
        if some_failed:
            constraints[_RAN] = 0.0 if candidate.ok else 1.0
        study.add_trial(
            optuna.trial.create_trial(
                values=[math.log(c) for c in candidate.costs] if candidate.ok else worst,
                params={d.key: _code(d, candidate.setting.get(d.key)) for d in dimensions},
                distributions=_distributions(dimensions),
                constraints=constraints,
            )
        )
    params = study.ask(_distributions(dimensions)).params
    values = {d.key: d.values[params[d.key]] if d.ordered else params[d.key] for d in dimensions}
    return view.bare(branch, **values)


def _distributions(dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Ordered values by their place, so that 2 lies between 1 and 4; other values as words."""
    import optuna

    return {
        d.key: optuna.distributions.IntDistribution(0, len(d.values) - 1)
        if d.ordered
        else optuna.distributions.CategoricalDistribution(d.values)
        for d in dimensions
    }


def _code(dimension: Dimension, value: Choice) -> Any:
    """The value as its distribution counts it."""
    value = dimension.start if value is None else value
    return dimension.values.index(value) if dimension.ordered else value


def _is_inside(setting: Mapping[str, Choice], dimensions: Sequence[Dimension]) -> bool:
    """Whether no other key is set, and no key to a value that is not searched."""
    searched = all(setting.get(d.key, d.start) in d.values for d in dimensions)
    return searched and set(setting) <= {*ROOT, *(d.key for d in dimensions)}
