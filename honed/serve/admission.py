"""Admission: when the workers will have answered, as predicted, and what would come too late."""

from __future__ import annotations

import random
from collections.abc import Sequence

from honed.serve.groups import Group
from honed.serve.link import Link
from honed.serve.refusals import Kind, Refusal, overloaded


class Admission:
    """Refuses requests whose answer would come too late.

    `groups` are in the order of their texts' lengths. `links` is the dispatcher's list of workers,
    which changes as they come and go.
    """

    def __init__(self, groups: Sequence[Group], links: Sequence[Link], max_wait_s: float) -> None:
        self._groups = groups
        self._links = links
        self._max_wait_s = max_wait_s
        self._random = random.Random()

    def group_of(self, length: int) -> Group:
        """The group whose texts have this length."""
        return next(g for g in self._groups if g.up_to is None or length <= g.up_to)

    def wait_s(self, now_s: float) -> float:
        """How long the workers need for everything that they have now; with several groups, those
        that need longest."""
        return max(self.wait_of(group, now_s) for group in self._groups)

    def wait_of(self, group: Group, now_s: float) -> float:
        """How long the workers of this group need for everything that they have now."""
        ratio = group.ratio
        links = (link for link in self._links if link.group is group)
        running_s = sum(link.remaining_s(now_s, ratio) for link in links)
        return (group.backlog.seconds() * ratio + running_s) / self.workers(group)

    def workers(self, group: Group) -> int:
        """The workers that can answer; where all are being started again, those that will.

        Express workers do not count, because they take their time from the others.
        """
        able = (link.ready and link.up_to is None and link.group is group for link in self._links)
        return sum(able) or group.workers

    def check(
        self, lengths: Sequence[int], timeout_s: float, now_s: float, *, others_wait: bool
    ) -> None:
        """Raise Refusal unless the whole request is predicted to be answered in time.

        All requests that come at a moment meet the same condition, whatever their lengths: that
        the texts which wait longest would be answered in time. `others_wait`: texts of other
        requests are queued; with none, only the request's own time counts.
        """
        texts, limit_s = len(lengths), min(self._max_wait_s, timeout_s)
        excess_s = 0.0
        for group, part in self._by_group(lengths):
            alone_s = group.backlog.seconds_of(part) * group.ratio
            takes_s = alone_s / min(self.workers(group), len(part))
            if takes_s > limit_s and texts > 1:
                raise Refusal(
                    Kind.TOO_LARGE,
                    f"the {texts} texts of this request take about {takes_s:.1f} s, more than "
                    f"max_wait_s={limit_s:g}: send fewer texts in one request",
                    "too_large",
                )
            waits = group.waits
            waits.came(part, takes_s, now_s)
            if others_wait:
                waited_s = waits.to_answer(part, self.wait_of(group, now_s), now_s)
                answered_s = waited_s + waits.takes(takes_s, limit_s, now_s)
                excess_s = max(excess_s, answered_s - limit_s)
        if excess_s > 0:
            raise overloaded(excess_s, self._random.random())

    def _by_group(self, lengths: Sequence[int]) -> list[tuple[Group, Sequence[int]]]:
        """The lengths of each group that has any of them."""
        if len(self._groups) == 1:
            return [(self._groups[0], lengths)]
        parts: dict[Group, list[int]] = {}
        for length in lengths:
            parts.setdefault(self.group_of(length), []).append(length)
        return [(group, parts[group]) for group in parts]
