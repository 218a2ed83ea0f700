"""With several objectives: more trials for the settings that may lie on the Pareto front.

The best settings of a single objective race at the end, in turns: this tells more than repeats at
different times.
"""

from __future__ import annotations

from honed.study import front
from honed.tune.planner import Proposal, View
from honed.tune.policy import POLICY

ORDER = 100


def propose(view: View) -> Proposal | None:
    feasible = [c for c in view.candidates if c.feasible]
    if view.share >= 1 or len(view.question.objectives) == 1 or not feasible:
        return None
    contenders = front(feasible)[: POLICY.front_repeats]
    for trials, within in enumerate(POLICY.repeat_within, start=2):
        for candidate in contenders:
            if len(candidate.trials) < trials and candidate.cost <= within * feasible[0].cost:
                return Proposal(candidate.setting, "repeat")
    return None
