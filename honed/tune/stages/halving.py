"""The better half of the branches gets a second trial, the better quarter a third; two go on.

A branch that is too far from the second one for luck to have decided gets none.
"""

from __future__ import annotations

import math

from honed.study import Candidate
from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY

ORDER = 50


def propose(view: View) -> Proposal | None:
    survivors, leading = POLICY.leading_branches, view.leading
    if not view.may_begin("halving") or len(leading) <= survivors:
        return None
    kept = len(leading)
    for trials in (2, 3):
        kept = max(survivors, -(-kept // 2))
        for candidate in leading[:kept]:
            branch = candidate.setting.branch
            count = sum(t.ok and t.setting.branch == branch for t in view.trials)
            in_doubt = _ratio(candidate, leading[survivors - 1]) < POLICY.in_doubt
            if count < trials and in_doubt:
                return Proposal(candidate.setting, "halving")
        if kept == survivors:
            break
    return None


def _ratio(one: Candidate, other: Candidate) -> float:
    """How far apart two costs are, whichever is the lower one."""
    low, high = sorted((one.cost, other.cost))
    return high / low if low > 0 else math.inf
