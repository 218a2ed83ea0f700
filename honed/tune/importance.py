"""Which knobs mattered in the trials: Optuna's PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from honed.tune.space import Space, axes
from honed.tune.trial import Trial, settings

_LEAST = 5  # PED-ANOVA looks at the best tenth; with fewer settings there is nothing to look at


def importances(space: Space, trials: Sequence[Trial]) -> Mapping[str, float]:
    """Each searched key's share in telling good settings from the others, the largest first.

    A setting that leaves a key untouched counts as one of its values. Empty with too few trials.
    """
    import optuna

    found = [s for s in settings(trials) if s.ok and math.isfinite(s.cost)]
    seen = {k: {s.point.get(k) for s in found} for k in axes(space)}
    keys = [k for k, values in seen.items() if len(values) > 1]
    if len(found) < _LEAST or not keys:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    choices = {k: sorted(seen[k], key=lambda v: (v is not None, str(v))) for k in keys}
    kinds: dict[str, Any] = {
        k: optuna.distributions.CategoricalDistribution(v) for k, v in choices.items()
    }
    study = optuna.create_study(direction="minimize")
    for setting in found:
        study.add_trial(
            optuna.trial.create_trial(
                value=math.log(setting.cost) + setting.missed,
                params={k: setting.point.get(k) for k in keys},
                distributions=kinds,
            )
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=max(0.1, _LEAST / len(found) / 2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(told.values())
    shares = {k: v / total for k, v in told.items()} if total > 0 else {}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
