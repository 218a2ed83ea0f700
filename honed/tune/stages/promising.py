"""Values of knobs that are expected to be faster, one at a time on the best setting so far."""

from __future__ import annotations

from honed.knobs import all_knobs
from honed.tune.planner import Proposal, View

ORDER = 55


def propose(view: View) -> Proposal | None:
    if not view.may_begin("promising"):
        return None
    best = next((c.setting for c in view.candidates if c.feasible), None)
    if best is None:
        return None
    knobs = all_knobs()
    for dimension in view.space.of(best.branch[0], "search"):
        knob = knobs.get(dimension.key)  # None: a field of the Case
        if knob is None or knob.promising is None or knob.promising not in dimension.values:
            continue
        setting = view.space.normal({**best, knob.name: knob.promising})
        if view.is_new(setting):
            return Proposal(setting, "expert")
    return None
