"""Branches expected to be far behind, and engines that rank themselves as slow to start or that
have no kernels here: each once, when the others leave time for it."""

from __future__ import annotations

from honed.tune.planner import Proposal, View

ORDER = 90


def propose(view: View) -> Proposal | None:
    if not view.may_begin("unlikely"):
        return None
    for branch in sorted(view.space.branches, key=lambda b: b.unlikely):
        if view.is_new(setting := view.bare(branch.key)):
            return Proposal(setting, "expert")
    return None
