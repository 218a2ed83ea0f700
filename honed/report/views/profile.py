"""Profiles side by side: kinds of operators, the operators that take longest, flame graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.profile import by_kind, merged
from honed.record import Record
from honed.report.figures.profile import flame_picture, kinds_picture, shares
from honed.report.findings import listed
from honed.report.views.base import Grid, Shown, Subject
from honed.run.passes.profile import Part
from honed.show.numbers import NONE, plain
from honed.show.profile import (
    KIND_HEADINGS,
    ROW_HEADINGS,
    kind_cells,
    profile_of,
    row_cells,
)
from honed.step import FORWARD

Named = tuple[str, Record, Part]
_TOP = 8
_MOST_FLAMES = 6
_PRODUCTS, _SOFTMAX = "matrix products", "softmax"


def show(subject: Subject) -> Shown:
    named = [
        (subject.label(r), r, part) for r in subject.records if (part := profile_of(r)) is not None
    ]
    if not named:
        return Shown()
    grids = [_kinds(named), *(_operators(each) for each in named)]
    flames = [flame_picture(*each) for each in named[:_MOST_FLAMES]]
    kinds = [kinds_picture(named)] if len(named) > 1 else []
    findings = [f"{label}: {shares(part)}." for label, _, part in named]
    findings += [*_softmax(named), *_training(named), *_overhead(named)]
    return Shown(tuple(findings), tuple(grids), (*kinds, *flames))


def _kinds(named: Sequence[Named]) -> Grid:
    rows = [(label, *kind_cells(part)) for label, _, part in named]
    return Grid("Kinds of operators: ms and share of a call", KIND_HEADINGS, tuple(rows))


def _operators(named: Named) -> Grid:
    """The operators that take longest, by the phase in which they run, each with its place on a
    roofline: FLOP for each byte of its inputs, and the FLOP/s that it reaches."""
    label, record, part = named
    bound = record.metrics.bound_flops_per_s if record.metrics else None
    rows = [
        (
            row.op, row.phase, *row_cells(row, bound),
            plain(row.flops / row.bytes) if row.flops and row.bytes else NONE,
        )
        for row in merged(part.rows, "op", "phase")[:_TOP]
    ]  # fmt: skip
    headings = ("operator", "phase", *ROW_HEADINGS, "FLOP per byte")
    return Grid(f"{label}: the operators that take longest", headings, tuple(rows), left=2)


def _softmax(named: Sequence[Named]) -> Iterator[str]:
    """Softmax beside the matrix products: what it takes of the time, and of the arithmetic."""
    for label, _, part in named:
        kinds = by_kind(part.rows)
        if _SOFTMAX not in kinds or _PRODUCTS not in kinds:
            continue
        products, softmax = kinds[_PRODUCTS], kinds[_SOFTMAX]
        ratio = products.self_s / softmax.self_s if softmax.self_s else None
        yield (
            f"{label}: matrix products take {plain(ratio)} times as long as softmax, for "
            f"{plain((products.flops or 0) / 1e9)} GFLOP; the FLOPs of softmax are not counted, "
            "because it moves bytes and hardly computes."
        )


def _training(named: Sequence[Named]) -> Iterator[str]:
    """The share of matrix products in a forward pass and in the other phases of the same step."""
    for label, _, part in named:
        phases = list(dict.fromkeys(row.phase for row in part.rows))
        if len(phases) < 2:
            continue
        parts = []
        for phase in sorted(phases, key=lambda name: name != FORWARD):
            rows = [row for row in part.rows if row.phase == phase]
            whole_s = sum(row.self_s for row in rows)
            products = by_kind(rows).get(_PRODUCTS)
            share = products.self_s / whole_s if products and whole_s else 0.0
            parts.append(f"{share:.0%} of {phase}")
        yield f"{label}: matrix products take {listed(parts)}."


def _overhead(named: Sequence[Named]) -> Iterator[str]:
    worst = max(named, key=lambda each: each[2].overhead)
    longer = "The profiler made no call longer"
    if worst[2].overhead > 0:
        longer = f"The profiler made calls longer by up to {worst[2].overhead:.0%} ({worst[0]})"
    yield f"{longer}; no time outside this section comes from a call under the profiler."
