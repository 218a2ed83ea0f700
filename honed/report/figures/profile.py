"""Where the time of a call goes: a flame graph of each profile, and the kinds of operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.profile import KINDS, by_kind
from honed.record import Record
from honed.report.evidence import Evidence, Point
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.panels.flame import KIND_STYLES, flame
from honed.run.passes.profile import Part
from honed.show.profile import profile_of

ORDER = 85
# The kinds as a sentence says them, where their names alone do not fit.
_SAID = {
    "optimizer": "the optimizer",
    "other": "other operators",
    "between operators": "the time between operators",
}
_MOST_FLAMES = 6
_NOTE = (
    "From a call under the engine's profiler, which is slower than the calls that are timed: "
    "shares count here, not times. Equal layers are added up."
)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """The kinds of all profiles side by side, then a flame graph of each."""
    profiled = [(r, part) for r in evidence.measured if (part := profile_of(r)) is not None]
    if not profiled:
        return
    keys = evidence.varying([record for record, _ in profiled])
    named = [(evidence.label(record, keys), record, part) for record, part in profiled]
    if len(named) > 1:
        yield kinds_picture(named)
    for label, record, part in named[:_MOST_FLAMES]:
        yield flame_picture(label, record, part)


def kinds_picture(named: Sequence[tuple[str, Record, Part]]) -> Picture:
    """One row for each profile, one bar for each kind of operator."""
    rows = []
    for label, record, part in named:
        kinds = by_kind(part.rows)
        bars = (
            Bar(
                kind,
                KIND_STYLES[kind],
                Point(0.0, 1e3 * kinds[kind].self_s, None, "ok", (record,)),
            )
            for kind in KINDS
            if kind in kinds
        )
        rows.append(Row(label, tuple(bars)))
    sentence = " ".join(f"{label}: {shares(part)}." for label, _, part in named[:_MOST_FLAMES])
    return Picture(
        "Kinds of operators", sentence, (Bars("Time in a call, ms", tuple(rows), "ms"),),
        tuple(record for _, record, _ in named), (_NOTE,), marked=False,
    )  # fmt: skip


def _of_overhead(part: Part) -> str:
    if part.overhead < 0:
        return "This call was no slower than one without the profiler."
    return f"This call took {part.overhead:.0%} longer than one without the profiler."


def flame_picture(label: str, record: Record, part: Part) -> Picture:
    return Picture(
        titled("Profile", label), f"In this call, {shares(part)}.",
        (flame("Phases, modules and operators", part.rows),), (record,),
        (_NOTE, _of_overhead(part)),
        marked=False,
    )  # fmt: skip


def shares(part: Part) -> str:
    """`80% of the time goes to matrix products, 15% to other operators and 5% to softmax`."""
    ordered = sorted(by_kind(part.rows).items(), key=lambda pair: -pair[1].share)
    words = [f"{row.share:.0%} to {_SAID.get(kind, kind)}" for kind, row in ordered]
    words[0] = words[0].replace(" to ", " of the time goes to ", 1)
    return listed(words, most=6)
