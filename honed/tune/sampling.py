"""Optuna's samplers on one branch: a static space of ordered numbers and a few words."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from honed.compose import Choice
from honed.study import Setting
from honed.tune.planner import View
from honed.tune.policy import POLICY
from honed.tune.space import ROOT, Dimension

if TYPE_CHECKING:
    import optuna

_RAN = "ran"  # the constraint that settings without a result violate


def suggest(
    view: View, branch: tuple[str, str], dimensions: Sequence[Dimension]
) -> Setting | None:
    """A new setting of the branch, as the chosen sampler proposes it; None if all were tried.

    The sampler's study is made anew from the trials each time: this takes about a tenth of a
    second, a trial takes several seconds, and nothing can go stale.
    """
    untried = _untried(view, branch, dimensions)
    if not any(view.is_new(setting) for setting in untried):
        return None
    params = _study(view, branch, dimensions).ask(_distributions(dimensions)).params
    values = {d.key: d.values[params[d.key]] if d.ordered else params[d.key] for d in dimensions}
    proposed = view.bare(branch, **values)
    nearest = sorted(untried, key=lambda other: _distance(dimensions, proposed, other))
    return next(setting for setting in (proposed, *nearest) if view.is_new(setting))


def _distance(dimensions: Sequence[Dimension], one: Setting, other: Setting) -> float:
    """How far apart two settings are: by the places of ordered values, 1 for each other value that
    differs."""
    total = 0.0
    for d in dimensions:
        a, b = one.get(d.key, d.start), other.get(d.key, d.start)
        places = abs(d.values.index(a) - d.values.index(b)) / max(1, len(d.values) - 1)
        total += places if d.ordered else float(a != b)
    return total


def _untried(
    view: View, branch: tuple[str, str], dimensions: Sequence[Dimension]
) -> list[Setting]:
    """Settings of the branch that have not been tried, those that cannot run included. In a large
    space, a sample chosen by the study's seed."""
    if math.prod(len(d.values) for d in dimensions) <= POLICY.sampler_points:
        rows: Iterable[tuple[Choice, ...]] = itertools.product(*(d.values for d in dimensions))
    else:
        rng = random.Random(view.question.seed + len(view.trials))
        count = POLICY.sampler_points
        rows = (tuple(rng.choice(d.values) for d in dimensions) for _ in range(count))
    keys = [d.key for d in dimensions]
    settings = (view.bare(branch, **dict(zip(keys, row, strict=True))) for row in rows)
    return [setting for setting in settings if not view.tried(setting)]


def _study(view: View, branch: tuple[str, str], dimensions: Sequence[Dimension]) -> optuna.Study:
    """The branch's candidates as a study of Optuna's. A failure is worth twice the worst that ran
    to the sampler's model, and violates a constraint."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    count = len(view.question.objectives)
    study = optuna.create_study(directions=["minimize"] * count, sampler=_sampler(view))
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
    return study


def _sampler(view: View) -> optuna.samplers.BaseSampler:
    import optuna

    seed = view.question.seed * 7919 + len(view.trials)
    if view.question.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if view.question.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=POLICY.sampler_startup)
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=POLICY.sampler_startup)


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
