"""Each engine once, with the precision that promises the most on this processor."""

from __future__ import annotations

from honed.tune.planner import Proposal, View

ORDER = 20


def propose(view: View) -> Proposal | None:
    if not view.may_begin("expert"):
        return None
    base, engines = view.question.base, set[str]()
    for branch in view.space.branches:
        is_default = branch.key == (base.backend, base.precision)
        if branch.backend in engines or branch.unlikely or is_default:
            continue
        engines.add(branch.backend)
        if view.is_new(setting := view.bare(branch.key)):
            return Proposal(setting, "expert")
    return None
