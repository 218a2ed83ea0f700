"""The machine's knobs on the best setting: one after the other, then together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from honed.tune.space import Dimension
from honed.tune.trial import Setting, settings
from honed.tune.view import Proposal, View

_ATTEMPTS = 3
_GAIN = 0.98  # one short trial each: processes differ by more than a hundredth


def polish(view: View) -> Proposal | None:
    """The machine's knobs, one after the other, on the best setting so far; what pays is kept."""
    best = _incumbent(view)
    if best is None:
        return None
    for dimension in view.space.of(best.branch[0], "polish"):
        for value in dimension.values:
            at = view.space.normal({**best.point, dimension.key: value})
            if dimension.key in best.point or _hopeless(view, best, dimension):
                break
            if view.new(at):
                return Proposal(at, "polish")
    return _together(view, best.branch[0])


def _together(view: View, backend: str) -> Proposal | None:
    """The machine's knobs that seemed to gain anything, together: a hundredth each may be noise in
    one trial, but their sum is not. Where they cannot be had together, the next best of them."""
    polish = {d.key for d in view.space.of(backend, "polish")}
    plain = next((s for s in view.settings if s.ok and not polish & set(s.point)), None)
    if plain is None:
        return None
    gaining: dict[str, list[Setting]] = {}
    for setting in view.settings:
        added = set(setting.point.items()) - set(plain.point.items())
        if setting.ok and len(setting.point) == len(plain.point) + 1 and len(added) == 1:
            ((key, _),) = added
            if key in polish and setting.rank < plain.rank:
                gaining.setdefault(key, []).append(setting)
    if len(gaining) < 2:
        return None
    for picked in sorted(itertools.product(*gaining.values()), key=_product)[:_ATTEMPTS]:
        at = view.space.normal({k: v for s in picked for k, v in s.point.items()})
        known = next((s for s in view.settings if s.point == at), None)
        if known is not None and known.ok:
            return None
        if view.new(at):
            return Proposal(at, "polish")
    return None


def _product(picked: Sequence[Setting]) -> float:
    return math.prod(s.cost for s in picked)


def _incumbent(view: View) -> Setting | None:
    """The best unpolished setting, then each polished one that beats it by enough."""
    plain = settings([t for t in view.trials if t.stage != "polish"])
    if not plain or not plain[0].ok:
        return None
    best = plain[0]
    for trial in view.trials:
        if trial.stage == "polish" and trial.ok and trial.missed <= best.missed:
            (found,) = settings([t for t in view.trials if t.setting == trial.setting])
            if found.ok and found.cost < _GAIN * best.cost and found.branch == best.branch:
                best = found
    return best


def _hopeless(view: View, best: Setting, dimension: Dimension) -> bool:
    """A number that once failed on this branch is not raised further."""
    return dimension.ordered and any(
        t.stage == "polish" and dimension.key in t.point and not t.ok and t.branch == best.branch
        for t in view.trials
        if t.status not in ("running", "interrupted")
    )
