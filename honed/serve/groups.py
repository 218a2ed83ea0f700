"""Groups: the workers of one size, the texts that are theirs, and what waits for them.

Usually all workers have the same size and take every text: one group. With `sizes=8+16+24`, each
size is a group with a queue and a cost model of its own. Which lengths are a group's follows from
the cost models: more cores make a short text little faster, so a text belongs to the largest size
that uses its cores nearly as well as the size that uses them best.

A worker whose own queue is empty takes texts of another group that it would answer sooner than
their own workers, who all are busy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from honed.case import Case
from honed.models.knobs.padding import PADDING, Padding
from honed.serve import cost
from honed.serve.backlog import Backlog
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Policy, Rules, load_policy
from honed.serve.settings import ServeSettings
from honed.serve.tickets import Item
from honed.serve.waits import Waits

if TYPE_CHECKING:
    from honed.serve.crew import Started

# A core of a larger instance must do at least this share of what it would do in the best size.
_WELL_USED = 0.75
# A text may wait behind texts of another group for so many times as long as it takes alone.
_PATIENCE = 4.0
_SMOOTHING = 0.05  # of the ratio of actual to predicted times
_RATIOS = (0.5, 4.0)


class Group:
    """Workers of one size. Its texts have more tokens than `over`, and `up_to` at most (None:
    any). `cores` is None where the workers are not pinned."""

    def __init__(
        self, rules: Rules, policy: Policy, workers: int = 1, cores: int | None = None
    ) -> None:
        self.rules = rules
        self.queue = policy.make(rules)
        self.workers = workers  # as planned
        self.cores = cores
        self.over = 0
        self.up_to: int | None = None
        self.backlog = Backlog(rules)
        self.waits = Waits(rules)
        self.ratio = 1.0  # of actual to predicted seconds of batches, smoothed
        self.came_s = -math.inf  # when one of its texts came last

    @property
    def model(self) -> CostModel:
        return self.rules.model

    def alone_s(self, length: int) -> float:
        """How long a text takes alone, as batches go at present."""
        return self.model.padded_s(1, self.rules.width(length)) * self.ratio

    def learn(self, predicted_s: float, actual_s: float) -> None:
        """A batch was computed."""
        if predicted_s > 0:
            actual = min(max(actual_s / predicted_s, _RATIOS[0]), _RATIOS[1])
            self.ratio += _SMOOTHING * (actual - self.ratio)


class Surplus:
    """What a worker of one group, the helper, takes of the texts of another, their owner: those
    that it would answer sooner.

    `free_s` is when the first of the owner's `workers` is free. The helper's own texts must not
    wait for long: it takes what is done within `most_s`.
    """

    def __init__(
        self, owner: Group, helper: Group, workers: int, free_s: float, most_s: float
    ) -> None:
        ends_s = free_s + owner.backlog.seconds() * owner.ratio / workers
        allowed_s = min(ends_s, most_s) / helper.ratio
        self.rules = replace(helper.rules, quantum_s=min(helper.rules.quantum_s, allowed_s))
        self._owner, self._helper, self._workers = owner, helper, workers
        self._most_s = most_s
        self._ahead_s = free_s  # until the owner's workers would come to the next text

    def takes(self, item: Item) -> bool:
        here_s = self._helper.alone_s(item.length)
        there_s = self._ahead_s + self._owner.alone_s(item.length)
        if here_s <= self._most_s and here_s < there_s:
            return True
        self._ahead_s += item.cost_s * self._owner.ratio / self._workers
        return False


def longest_help_s(helper: Group, now_s: float) -> float:
    """How long a worker may be busy with texts of another group: a few times as long as the
    longest of its own takes alone, or as long as none of its own has come."""
    longest = helper.up_to or helper.rules.longest
    return max(_PATIENCE * helper.alone_s(longest), now_s - helper.came_s)


def range_words(over: int, up_to: int | None) -> str:
    """The lengths of texts, for people: `33 to 384 tokens`; empty for all texts."""
    if up_to is None:
        return f"from {over + 1} tokens" if over else ""
    return f"{over + 1} to {up_to} tokens" if over else f"up to {up_to} tokens"


def groups_of(
    case: Case, settings: ServeSettings, started: Sequence[Started], longest: int
) -> list[Group]:
    """The groups of these workers, each with the cost model of the calls that they timed."""
    sizes = sorted({each.seat.threads for each in started}, key=lambda cores: cores or 0)
    policy = load_policy(settings.policy)
    groups = []
    for cores in sizes:
        members = [each.ready for each in started if each.seat.threads == cores]
        skips = all(each.skips_padding for each in members)
        model = cost.fit(cost.pooled([each.points for each in members]), skips_padding=skips)
        rules = rules_of(case, settings, model, longest)
        groups.append(Group(rules, policy, len(members), cores))
    divide(groups)
    return groups


def rules_of(case: Case, settings: ServeSettings, model: CostModel, longest: int) -> Rules:
    """What bounds batches: by the settings, and where they say nothing by the cost model."""
    padding = Padding.of(case.knobs, longest)

    def width(tokens: int) -> int:
        if PADDING.name in case.knobs:
            return padding.width(tokens)
        return max(tokens, min(model.width(tokens), longest))

    return Rules(
        model=model,
        longest=longest,
        width=width,
        batch_tokens=settings.batch_tokens or model.batch_tokens,
        batch_rows=settings.batch_rows,
        quantum_s=settings.quantum_ms / 1e3,
    )


def divide(groups: Sequence[Group]) -> None:
    """Give each group its lengths, by their cost models; `groups` are in the order of their size.

    A size that uses its cores well takes the texts of smaller ones, and each size keeps at least
    one length class.
    """
    models = {group.cores or 1: group.model for group in groups}
    over = 0
    for group, up_to in zip(groups, edges_of(models, groups[0].rules.longest), strict=True):
        group.over, group.up_to = over, up_to
        over = up_to or over


def edges_of(models: Mapping[int, CostModel], longest: int) -> list[int | None]:
    """The most tokens of the texts of each size, from the cost model of each number of cores; None
    for the last size, which takes all longer ones."""
    sizes = sorted(models)
    classes = sorted({*models[sizes[0]].edges(longest)} | {*models[sizes[-1]].edges(longest)})
    best = [_best_size(models, edge) for edge in classes]
    found: list[int | None] = []
    place = -1
    for number, size in enumerate(sizes[:-1]):
        last = max((i for i, each in enumerate(best) if each <= size), default=-1)
        most = len(classes) - len(sizes) + number  # the larger sizes need classes, too
        place = max(place + 1, min(last, most))
        found.append(classes[min(place, len(classes) - 1)])
    return [*found, None]


def _best_size(models: Mapping[int, CostModel], length: int) -> int:
    """The largest size whose cores do nearly as much for a text of this length as in any size."""
    core_s = {size: size * model.padded_s(1, length) for size, model in models.items()}
    least_s = min(core_s.values())
    return max(size for size, each_s in core_s.items() if least_s >= _WELL_USED * each_s)
