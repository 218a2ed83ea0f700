"""The sampler's settings: two trials for the leading branch, then one for the second."""

from __future__ import annotations

from collections.abc import Sequence

from honed.study import Trial, candidates
from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY
from honed.tune.sampling import suggest

ORDER = 60


def propose(view: View) -> Proposal | None:
    if not view.may_begin("sampler"):
        return None
    count = POLICY.leading_branches
    branches = [c.setting.branch for c in view.leading[:count]]
    counted = [t for t in view.trials if t.status != "interrupted"]
    trials = {branch: [t for t in counted if t.setting.branch == branch] for branch in branches}

    def served(place: int) -> tuple[float, int]:
        sampled = sum(t.stage == "sampler" for t in trials[branches[place]])
        return sampled / (count - place), place

    for place in sorted(range(len(branches)), key=served):  # the least served first
        branch = branches[place]
        if _is_given_up(trials[branch]):
            continue
        setting = suggest(view, branch, view.space.of(branch[0], "search"))
        if setting is not None:
            return Proposal(setting, "sampler")
    return None


def _is_given_up(trials: Sequence[Trial]) -> bool:
    """Whether the last trials of the sampler gained nothing."""
    sampled = [t for t in trials if t.stage == "sampler"]
    if len(sampled) < POLICY.patience:
        return False
    since = sampled[-POLICY.patience].number
    before = candidates([t for t in trials if t.number < since])
    now = candidates(trials)
    if not before or now[0].rank[:2] != before[0].rank[:2]:
        return False
    return now[0].cost > POLICY.patience_gain * before[0].cost
