"""Findings in words: which setting is the fastest, by how much, and where that is uncertain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from honed.record import Record
from honed.report.evidence import DEFAULTS, Evidence, Point
from honed.show.numbers import overlap, plain
from honed.show.rows import SHAPE, SUBJECT


def winners(points: Mapping[str, Point], high: bool = False) -> list[str]:
    """The label of the best ok point, then the labels of ok points whose intervals touch its
    interval."""
    ok = {label: p for label, p in points.items() if p.ok}
    if not ok:
        return []
    best = (max if high else min)(ok, key=lambda label: ok[label].value)
    ends = (ok[best].low, ok[best].high)
    return [best, *(k for k, p in ok.items() if k != best and overlap(ends, (p.low, p.high)))]


def reference(
    evidence: Evidence, groups: Mapping[str, Sequence[Record]], axis: str = ""
) -> str | None:
    """The label of the ok setting that is all defaults, if there is one. Others are compared
    with it. The key on the `axis` may have any value."""
    free = {*SUBJECT, *SHAPE, "total_batch", "cores", axis}
    for label, records in groups.items():
        keys = evidence.keys[records[0].id]
        default = all(value == DEFAULTS.get(k) for k, value in keys.items() if k not in free)
        if default and all(r.ok for r in records):
            return label
    return None


def times(ratios: Sequence[float]) -> str:
    """`3.1 to 4.6 times`; one number where the ends are the same."""
    low, high = plain(min(ratios), 2), plain(max(ratios), 2)
    return f"{low} times" if low == high else f"{low} to {high} times"


def listed(words: Sequence[str], joint: str = "and", most: int = 4) -> str:
    """`a, b and c`; beyond `most` the rest are counted."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return f" {joint} ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def fastest(
    points: Mapping[float, Mapping[str, Point]], axis: str, at: Callable[[str], str],
    against: str | None,
) -> str:  # fmt: skip
    """Over every x with a choice: one winner throughout, or the winner at each x; "" without a
    choice.

    `axis` as in "at every batch size", `at` makes "batch size 8" of "8"; `against`: the label of
    the setting that ratios are given to.
    """
    choices = {x: by for x, by in points.items() if sum(p.ok for p in by.values()) > 1}
    if not choices:
        return ""
    won = {x: winners(by) for x, by in sorted(choices.items())}
    steady = [label for label in next(iter(won.values())) if all(label in w for w in won.values())]
    if not steady:
        places: dict[str, list[str]] = {}
        for x, labels in won.items():
            places.setdefault(listed(labels, "or"), []).append(f"{x:g}")
        winner_at = [f"{who} at {at(listed(xs, most=6))}" for who, xs in places.items()]
        return f"The fastest: {'; '.join(winner_at)}."
    label = min(steady, key=lambda s: sum(choices[x][s].value for x in won))
    rivals = list(dict.fromkeys(other for w in won.values() for other in w if other != label))
    finding = f"{label} is the fastest{f' at every {axis}' if len(won) > 1 else ''}"
    if rivals:
        finding += f", not surely ahead of {listed(rivals)}"
    if against is None or against == label or against in rivals:
        return f"{finding}."
    both = [by for by in choices.values() if against in by and label in by]
    ratios = [by[against].value / by[label].value for by in both]
    return f"{finding}: {times(ratios)} as fast as {against}." if ratios else f"{finding}."
