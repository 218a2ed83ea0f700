"""The machine's knobs on the best setting: one after the other, then together."""

from __future__ import annotations

import itertools
import math

from honed.study import Candidate, candidates
from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY
from honed.tune.space import Dimension

ORDER = 70


def propose(view: View) -> Proposal | None:
    if not view.may_begin("machine_knobs") or (best := _incumbent(view)) is None:
        return None
    backend = best.setting.branch[0]
    for dimension in view.space.of(backend, "polish"):
        if dimension.key in best.setting or _failed_before(view, best, dimension):
            continue
        for value in dimension.values:
            setting = view.space.normal({**best.setting, dimension.key: value})
            if view.is_new(setting):
                return Proposal(setting, "polish")
    return _together(view, backend)


def _incumbent(view: View) -> Candidate | None:
    """The best setting without the machine's knobs, then each one with them that beats it by
    enough."""
    plain = candidates([t for t in view.trials if t.stage != "polish"])
    if not plain or not plain[0].ok:
        return None
    best = plain[0]
    of_setting = {c.setting: c for c in view.candidates}
    for trial in view.trials:
        if trial.stage == "polish" and trial.ok and trial.missed <= best.missed:
            candidate = of_setting[trial.setting]
            enough = candidate.cost < POLICY.knob_gain * best.cost
            if candidate.ok and enough and candidate.setting.branch == best.setting.branch:
                best = candidate
    return best


def _failed_before(view: View, best: Candidate, dimension: Dimension) -> bool:
    """Whether a number failed on this branch: it is then not raised further."""
    return dimension.ordered and any(
        t.stage == "polish" and t.ended and not t.ok
        and dimension.key in t.setting and t.setting.branch == best.setting.branch
        for t in view.trials
    )  # fmt: skip


def _together(view: View, backend: str) -> Proposal | None:
    """The machine's knobs that seemed to gain anything, together: a hundredth each may be noise in
    one trial, but their sum is not. Where a combination cannot run, the next best one."""
    machine = {d.key for d in view.space.of(backend, "polish")}
    plain = next((c for c in view.candidates if c.ok and not machine & set(c.setting)), None)
    if plain is None:
        return None
    gaining: dict[str, list[Candidate]] = {}
    for candidate in view.candidates:
        added = candidate.setting.items() - plain.setting.items()
        one_more = len(candidate.setting) == len(plain.setting) + 1 and len(added) == 1
        if candidate.ok and one_more and candidate.rank < plain.rank:
            ((key, _),) = added
            if key in machine:
                gaining.setdefault(key, []).append(candidate)
    if len(gaining) < 2:
        return None
    combinations = sorted(
        itertools.product(*gaining.values()), key=lambda picked: math.prod(c.cost for c in picked)
    )
    of_setting = {c.setting: c for c in view.candidates}
    for picked in combinations[: POLICY.combinations]:
        setting = view.space.normal({k: v for c in picked for k, v in c.setting.items()})
        if setting in of_setting and of_setting[setting].ok:
            return None
        if view.is_new(setting):
            return Proposal(setting, "polish")
    return None
