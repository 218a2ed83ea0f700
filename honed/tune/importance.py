"""How much each knob mattered in the trials: Optuna's PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from honed.study import Trial, candidates
from honed.tune.policy import POLICY
from honed.tune.space import Space


def importances(space: Space, trials: Sequence[Trial]) -> Mapping[str, float]:
    """Each searched key's share in separating good settings from the others, the largest first.

    Untouched counts as one of a key's values. Empty with too few settings.
    """
    import optuna

    able = [c for c in candidates(trials) if c.ok and math.isfinite(c.cost)]
    seen = {k: {c.setting.get(k) for c in able} for k in space.axes()}
    keys = [k for k, values in seen.items() if len(values) > 1]
    if len(able) < POLICY.importance_settings or not keys:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    categorical = optuna.distributions.CategoricalDistribution
    in_order = {k: sorted(seen[k], key=lambda v: (v is not None, str(v))) for k in keys}
    distributions: dict[str, Any] = {k: categorical(values) for k, values in in_order.items()}
    study = optuna.create_study(direction="minimize")
    for candidate in able:
        value = math.log(candidate.cost) + candidate.missed
        params = {k: candidate.setting.get(k) for k in keys}
        study.add_trial(
            optuna.trial.create_trial(value=value, params=params, distributions=distributions)
        )
    quantile = max(0.1, POLICY.importance_settings / len(able) / 2)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(shares.values())
    if total <= 0:
        return {}
    return {k: v / total for k, v in sorted(shares.items(), key=lambda item: -item[1])}
