"""The known good ways to share the machine's cores, on the branches that lead."""

from __future__ import annotations

from collections.abc import Iterator

from honed.compose import Choice
from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY
from honed.tune.space import Space

ORDER = 30


def propose(view: View) -> Proposal | None:
    if not view.may_begin("structures"):
        return None
    for leader in view.leading[: POLICY.leading_branches]:
        for shares in _shares(view.space):
            setting = view.bare(leader.setting.branch, **shares)
            if view.is_new(setting):
                return Proposal(setting, "expert")
    return None


def _shares(space: Space) -> Iterator[dict[str, Choice]]:
    """1 core x N, 4 x N/4, all cores for one, and unequal shares, as far as these keys are
    searched."""
    searched = {d.key: d for d in space.dimensions if d.ordered}
    counts = [v for v in searched["threads"].values if v] if "threads" in searched else []
    cores = max((int(c) for c in counts), default=0)
    for threads in (1, 4):
        if "instances" in searched and cores > threads:
            yield {"instances": cores // threads, "threads": threads}
    if cores:
        yield {"threads": cores}
    for dimension in space.dimensions:
        if dimension.key == "sizes":
            for value in dimension.values:
                if value is not None:
                    yield {"sizes": value}
