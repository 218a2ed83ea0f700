"""The other engines x precisions, while there is time, but for those expected to be far behind."""

from __future__ import annotations

from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY
from honed.tune.space import ROOT, Branch

ORDER = 40


def propose(view: View) -> Proposal | None:
    if not view.may_begin("others"):
        return None
    for branch in view.space.branches:
        setting = view.bare(branch.key)
        if not branch.unlikely and not _is_weak(view, branch) and view.is_new(setting):
            return Proposal(setting, "expert")
    return None


def _is_weak(view: View, branch: Branch) -> bool:
    """Predict the branch from the engine's best precision so far and the ratio of the processor's
    instructions: whether it would be over 1.7 times slower than the leader."""
    measures = view.question.measures
    if len(measures) > 1 or not measures[0].compared_by:
        return False
    promises = {b.key: b.promise for b in view.space.branches}
    costs = {
        c.setting.branch: c.cost
        for c in view.candidates
        if c.feasible and set(c.setting) <= set(ROOT) and c.setting.branch in promises
    }
    of_engine = [cost * promises[key] for key, cost in costs.items() if key[0] == branch.backend]
    if not of_engine:
        return False
    return min(of_engine) / branch.promise > POLICY.weak * min(costs.values())
