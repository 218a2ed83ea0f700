"""Optuna's samplers on one branch: a static space of ordered numbers and a few words."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from honed.compose import Choice
from honed.tune.space import Dimension
from honed.tune.trial import Point, Setting

if TYPE_CHECKING:
    import optuna

    from honed.tune.view import View

_START_UP = 4  # experts and halving have been there: random beginnings would be waste
_ENOUGH = 500
_RAN = "ran"  # the constraint that failed points break
_WORSE = math.log(2.0)


def suggest(view: View, branch: Point, own: Sequence[Dimension]) -> Point | None:
    """A new point of the branch, as the asked sampler sees it; None if all have been tried.

    The sampler's study is made anew from the trials each time: about a tenth of a second against
    trials of several, and nothing to go stale.
    """
    left = _untried(view, branch, own)
    if not any(view.new(at) for at in left):
        return None
    trial = _study(view, branch, own).ask(_distributions(own))
    at = _decoded(view, branch, own, trial.params)
    nearest = sorted(left, key=lambda other: _distance(own, at, other))
    return next(other for other in (at, *nearest) if view.new(other))


def _distance(own: Sequence[Dimension], one: Point, other: Point) -> float:
    """How far apart two points are: by places of ordered values, one for each differing word."""
    total = 0.0
    for d in own:
        a, b = one.get(d.key, d.start), other.get(d.key, d.start)
        places = abs(d.values.index(a) - d.values.index(b)) / max(1, len(d.values) - 1)
        total += places if d.ordered else float(a != b)
    return total


def _untried(view: View, branch: Point, own: Sequence[Dimension]) -> list[Point]:
    """Points of the branch that nobody has tried, refused ones included; of a large space some
    of them, as the seed has it."""
    if math.prod(len(d.values) for d in own) <= _ENOUGH:
        picks: Iterable[tuple[Choice, ...]] = itertools.product(*(d.values for d in own))
    else:
        rng = random.Random(view.ask.seed + len(view.trials))
        picks = (tuple(rng.choice(d.values) for d in own) for _ in range(_ENOUGH))
    named = ({d.key: v for d, v in zip(own, pick, strict=True)} for pick in picks)
    points = (view.space.normal({**branch, **pick}) for pick in named)
    return [at for at in points if not view.tried(at)]


def _study(view: View, branch: Point, own: Sequence[Dimension]) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    seed = view.ask.seed * 7919 + len(view.trials)
    count = len(view.ask.objectives)
    study = optuna.create_study(directions=["minimize"] * count, sampler=_sampler(view, seed))
    found = [s for s in view.settings if s.branch == (branch["backend"], branch["precision"])]
    worst = _worst(found, count)
    some_failed = not all(s.ok for s in found)
    for setting in found:
        if _inside(setting.point, own):
            values = [math.log(c) for c in setting.costs] if setting.ok else worst
            constraints = _constraints(setting, view, some_failed)
            study.add_trial(_frozen(setting.point, own, values, constraints))
    return study


def _sampler(view: View, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if view.ask.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if view.ask.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_START_UP)
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_START_UP)


def _worst(found: Sequence[Setting], count: int) -> list[float]:
    """What a failure is worth to the model: twice as bad as the worst that ran."""
    known = [[math.log(c) for c in s.costs] for s in found if s.costs]
    columns = zip(*known, strict=True) if known else [(0.0,)] * count
    return [max(column) + _WORSE for column in columns]


def _frozen(
    at: Point, own: Sequence[Dimension], values: Sequence[float], constraints: dict[str, float]
) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        values=list(values),
        params={d.key: _code(d, at.get(d.key)) for d in own},
        distributions=_distributions(own),
        constraints=constraints,
    )


def _constraints(setting: Setting, view: View, some_failed: bool) -> dict[str, float]:
    """The same names for every point, as the samplers want it."""
    limits = {str(limit): setting.violations.get(str(limit), 0.0) for limit in view.ask.limits}
    return limits | ({_RAN: 0.0 if setting.ok else 1.0} if some_failed else {})


def _distributions(own: Sequence[Dimension]) -> dict[str, Any]:
    """Ordered values by their place, so that 2 lies between 1 and 4; words as words."""
    import optuna

    return {
        d.key: optuna.distributions.IntDistribution(0, len(d.values) - 1)
        if d.ordered
        else optuna.distributions.CategoricalDistribution(d.values)
        for d in own
    }


def _code(dimension: Dimension, value: Choice) -> Any:
    kept = dimension.start if value is None else value
    return dimension.values.index(kept) if dimension.ordered else kept


def _inside(at: Point, own: Sequence[Dimension]) -> bool:
    """Whether nothing else is set, and nothing to a value that is not searched."""
    keys = {d.key for d in own} | {"backend", "precision"}
    known = all(at.get(d.key, d.start) in d.values for d in own)
    return known and set(at) <= keys


def _decoded(view: View, branch: Point, own: Sequence[Dimension], params: Any) -> Point:
    picks = {d.key: d.values[params[d.key]] if d.ordered else params[d.key] for d in own}
    return view.space.normal({**branch, **picks})
