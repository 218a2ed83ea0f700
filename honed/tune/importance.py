"""How much each key mattered in the trials: its part of the variance of the logarithm of the cost,
over the whole space as it was tried (`statistics.effects`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from honed.study import Trial
from honed.tune import surrogate
from honed.tune.policy import POLICY
from honed.tune.space import Space


def importances(space: Space, trials: Sequence[Trial]) -> Mapping[str, float | None]:
    """Each key's share, the largest first; together they are 1. None: the key was tried, and what
    it did cannot be told from noise. Empty with too few trials.

    Untouched counts as one of a key's values.
    """
    able = [(t, cost) for t in trials if t.ok and (cost := _cost(t)) is not None]
    settings = [trial.setting for trial, _ in able]
    if len(able) < POLICY.importance_trials or len(set(settings)) < 2:
        return {}
    variances = surrogate.fitted(space, settings, [cost for _, cost in able]).variances()
    total = sum(variances.values())
    if not total:
        return dict.fromkeys(variances)
    order = sorted(variances, key=lambda key: -variances[key])
    return {key: variances[key] / total or None for key in order}


def _cost(trial: Trial) -> float | None:
    """The mean logarithm of the trial's costs."""
    if not trial.costs or not all(0 < cost < math.inf for cost in trial.costs):
        return None
    return sum(map(math.log, trial.costs)) / len(trial.costs)
