"""The best setting without each of its knobs: one short trial each, before the confirmation."""

from __future__ import annotations

from honed.tune.planner import Proposal, View
from honed.tune.space import ROOT

ORDER = 80


def propose(view: View) -> Proposal | None:
    best = next((c for c in view.candidates if c.feasible), None)
    if view.share >= 1 or best is None:
        return None
    for key in best.setting:
        if key not in ROOT:
            setting = view.space.normal(best.setting.without(key))
            if view.is_new(setting):
                return Proposal(setting, "simpler")
    return None
