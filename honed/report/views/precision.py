"""Mixed precision: types and errors of each module's output, and sums in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator

from honed.mixed_precision import MixedPrecision
from honed.report.findings import listed
from honed.report.views.base import Grid, Shown, Subject
from honed.show.numbers import NONE, plain
from honed.show.precision import precision_of

_WIDE = "float32"
_EXACT = 10.0  # a thousand times 0.01


def show(subject: Subject) -> Shown:
    observed = [
        (subject.label(r), found)
        for r in subject.records
        if (found := precision_of(r)) is not None
    ]
    if not observed:
        return Shown()
    grids = [_modules(label, found) for label, found in observed]
    grids.append(_sums(observed[0][1]))
    findings = [sentence for label, found in observed for sentence in _findings(label, found)]
    return Shown((*findings, *_about_sums(observed[0][1])), tuple(grids))


def _modules(label: str, observed: MixedPrecision) -> Grid:
    rows = [
        (
            each.module, each.kind, each.inputs or NONE, each.weights or NONE, each.output,
            each.why or NONE, f"{each.max_abs_diff:.2g}", f"{each.relative_diff:.2%}",
        )
        for each in observed.modules
    ]  # fmt: skip
    headings = ("module", "kind", "inputs", "weights", "output", "why", "max error", "relative")
    return Grid(f"{label}: outputs under autocast", headings, tuple(rows), left=6)


def _sums(observed: MixedPrecision) -> Grid:
    rows = tuple((types, f"{value:.4f}") for types, value in observed.accumulation.items())
    return Grid("1000 x 0.01, summed one after the other", ("sum += addend", "result"), rows)


def _findings(label: str, observed: MixedPrecision) -> Iterator[str]:
    wide = [each for each in observed.modules if each.output == _WIDE]
    kinds = list(dict.fromkeys(each.kind for each in wide))
    norms = [each for each in observed.modules if "norm" in each.kind.lower()]
    if norms:
        types = listed(list(dict.fromkeys(each.output for each in norms)))
        yield f"{label}: the outputs of normalisation layers are {types}."
    yield (
        f"{label}: {len(wide)} of {len(observed.modules)} kinds of modules keep fp32 outputs "
        f"({listed(kinds) or 'none'}); parameters are {observed.parameters}, the loss is "
        f"{observed.loss}, gradients are {observed.gradients or 'not computed'}."
    )
    off = observed.gradient_relative_diff
    yield (
        f"{label}: the loss is off by {observed.loss_relative_diff:.3%}"
        + (f", the gradients by {off:.2%}." if off is not None else ".")
    )


def _about_sums(observed: MixedPrecision) -> Iterator[str]:
    sums = observed.accumulation
    worst = max(sums, key=lambda types: abs(sums[types] - _EXACT))
    best = min(sums, key=lambda types: abs(sums[types] - _EXACT))
    yield (
        f"A thousand times 0.01 gives {plain(sums[worst], 5)} with {worst} and "
        f"{plain(sums[best], 6)} with {best}: sums need the wide type."
    )
