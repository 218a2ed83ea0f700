"""Findings in words: who is the fastest, by how much, and where it cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from honed.record import Record
from honed.report.evidence import DEFAULTS, Evidence, Point
from honed.show.numbers import overlap, plain
from honed.show.rows import SHAPE, SUBJECT


def winners(points: Mapping[str, Point], high: bool = False) -> list[str]:
    """The best ok label, and those whose intervals touch its own. A diverged one never wins."""
    known = {label: p for label, p in points.items() if p.ok}
    if not known:
        return []
    best = (max if high else min)(known, key=lambda label: known[label].value)
    ends = (known[best].low, known[best].high)
    return [
        best, *(k for k, p in known.items() if k != best and overlap(ends, (p.low, p.high))),
    ]  # fmt: skip


def reference(
    evidence: Evidence, groups: Mapping[str, Sequence[Record]], axis: str = ""
) -> str | None:
    """What to hold the others against: the ok setting that is all defaults, if there is one.

    The key on the `axis` may be anything.
    """
    free = {*SUBJECT, *SHAPE, "total_batch", "cores", axis}
    for label, records in groups.items():
        own = evidence.keys[records[0].id]
        default = all(own[k] == DEFAULTS.get(k) for k in own if k not in free)
        if default and all(r.ok for r in records):
            return label
    return None


def times(ratios: Sequence[float]) -> str:
    """`3.1 to 4.6 times`; once where they are the same."""
    low, high = plain(min(ratios), 2), plain(max(ratios), 2)
    return f"{low} times" if low == high else f"{low} to {high} times"


def listed(words: Sequence[str], joint: str = "and", most: int = 4) -> str:
    """`a, b and c`; many are counted."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return f" {joint} ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def fastest(
    points: Mapping[float, Mapping[str, Point]],
    axis: str,
    at: Callable[[str], str],
    against: str | None,
) -> str:
    """Over every x with a choice: one winner throughout, or who wins where. "" without a choice.

    `axis` as in "at every batch size", `at` makes "batch size 8" of "8".
    """
    choices = {x: by for x, by in points.items() if sum(p.ok for p in by.values()) > 1}
    if not choices:
        return ""
    won = {x: winners(by) for x, by in sorted(choices.items())}
    steady = [label for label in next(iter(won.values())) if all(label in w for w in won.values())]
    if not steady:
        return _by_place(won, at)
    label = min(steady, key=lambda s: sum(choices[x][s].value for x in won))
    alone = all(w == [label] for w in won.values())
    where = f" at every {axis}" if len(won) > 1 else ""
    said = f"{label} is the fastest{where}" if alone else _tied(label, won, where)
    rivals = {other for w in won.values() for other in w}
    ratios = [
        by[against].value / by[label].value
        for by in choices.values() if against in by and label in by
    ] if against is not None and against not in rivals else []  # fmt: skip
    return f"{said}: {times(ratios)} as fast as {against}." if ratios else f"{said}."


def _tied(label: str, won: Mapping[float, Sequence[str]], where: str) -> str:
    near = dict.fromkeys(other for w in won.values() for other in w if other != label)
    return f"{label} is the fastest{where}, not surely ahead of {listed(list(near))}"


def _by_place(won: Mapping[float, Sequence[str]], at: Callable[[str], str]) -> str:
    places: dict[str, list[str]] = {}
    for x, labels in won.items():
        places.setdefault(listed(labels, "or"), []).append(f"{x:g}")
    told = [f"{who} at {at(listed(xs, most=6))}" for who, xs in places.items()]
    return f"The fastest: {'; '.join(told)}."
