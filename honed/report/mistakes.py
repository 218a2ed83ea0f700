"""Mistakes that published notes on language-model benchmarks make, and what these records say.

Each of them once stood in a student's notes on assignment 2 of Stanford's CS336: a mean with the
first call in it, a forward pass faster than its memory traffic, memory carried over from the cell
before, a tensor four times too small, types under autocast that were guessed, and "does not fit"
said of a model that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from honed.record import Record
from honed.report.findings import listed
from honed.show.memory import memory_of
from honed.show.precision import precision_of
from honed.step import FORWARD

_STEP = "step"
_MIB, _GIB = 2**20, 2**30
_GROWN = 0.99  # a longer sequence with less memory than this share of a shorter one's


def answers(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Each mistake, and what the records say about it."""
    return [(mistake, answer(records)) for mistake, answer in MISTAKES.items()]


def _first_call(records: Sequence[Record]) -> str:
    """The standard deviation beside the mean, of calls with and without a warm-up."""
    cold = [r for r in records if r.case.get("warmup_steps") == 0 and r.metrics]
    if not cold:
        return "Not looked at: no record is without a warm-up."
    doubted = [r for r in cold if any(d.kind == "first_call" for d in r.doubts)]
    parts = []
    for record in cold:
        step = ((record.metrics.phases if record.metrics else None) or {}).get(_STEP)
        if step is not None and step.stdev is not None:
            parts.append(f"{step.stdev / step.mean:.0%}")
    return (
        f"Without warm-up steps the standard deviation is {listed(parts)} of the mean; "
        f"{len(doubted)} of {len(cold)} such records have the doubt that their first call is the "
        "slowest by far."
    )


def _clock(records: Sequence[Record]) -> str:
    checked = [r for r in records if "traffic" in (r.passes or {})]
    if not checked:
        return "Not looked at: no attention was measured alone."
    found = [r for r in checked if any(d.kind == "traffic" for d in r.doubts)]
    return (
        f"{len(found)} of {len(checked)} attention cells are faster than writing their scores or "
        "their output takes on this device. honed waits for the device at every boundary."
    )


def _carried_over(records: Sequence[Record]) -> str:
    """In a process of its own, a longer sequence never needs less memory than a shorter one."""
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for record in records:
        after = (record.memory.after_phase_bytes if record.memory else None) or {}
        if "traffic" in (record.passes or {}) and FORWARD in after:
            key = tuple(
                str(record.case.get(k))
                for k in ("attention", "d_model", "batch_size", "precision", "causal", "num_heads")
            )
            length = int(record.case["sequence_length"])
            groups.setdefault(key, []).append((length, after[FORWARD]))
    pairs = shrunk = 0
    for sizes in groups.values():
        ordered = [size for _, size in sorted(sizes)]
        for shorter, longer in pairwise(ordered):
            pairs += 1
            shrunk += longer < _GROWN * shorter
    if not pairs:
        return "Every cell ran in a fresh process; there are no two lengths to compare."
    return (
        f"Every cell ran in a fresh process: of {pairs} pairs of neighbouring lengths, {shrunk} "
        "have less memory at the longer one."
    )


def _tensor_size(records: Sequence[Record]) -> str:
    """The residual stream by the bytes of a real tensor."""
    sizes = {
        f"{' x '.join(map(str, part.stream_shape))} {part.stream_dtype} has "
        f"{part.stream_bytes / _MIB:,.2f} MiB"
        for r in records
        if (part := memory_of(r)) is not None and part.stream_bytes is not None
    }
    if not sizes:
        return "Not looked at: no memory of a step with a backward pass was watched."
    return f"By the bytes of the tensors themselves, {listed(sorted(sizes), most=8)}."


def _types(records: Sequence[Record]) -> str:
    observed = [found for r in records if (found := precision_of(r)) is not None]
    if not observed:
        return "Not looked at: no record has the pass `precision`."
    norms = {
        each.output for found in observed for each in found.modules if "norm" in each.kind.lower()
    }
    gradients = {found.gradients for found in observed if found.gradients}
    said = []
    if norms:
        said.append(f"outputs of normalisation layers are {listed(sorted(norms))}")
    said.append(f"gradients are {listed(sorted(gradients)) or 'not computed'}")
    losses = sorted({found.loss for found in observed})
    said.append(f"the loss is {listed(losses)}")
    return f"As hooks saw them under autocast, {listed(said)}."


def _does_not_fit(records: Sequence[Record]) -> str:
    """What was not tried, each with the bytes that decided it."""
    skipped = [r for r in records if r.status == "oom"]
    untried = [r for r in skipped if r.error and "it was not tried" in r.error.message]
    largest = max(
        (r for r in records if r.metrics and r.memory and r.memory.weights_bytes),
        key=lambda r: (r.memory.weights_bytes if r.memory else 0) or 0, default=None,
    )  # fmt: skip
    said = (
        f"{len(untried)} of {len(skipped)} cases that do not fit were refused by a plan in bytes"
    )
    if largest is None or largest.memory is None or not largest.memory.weights_bytes:
        return f"{said}."
    weights = largest.memory.weights_bytes / _GIB
    return f"{said}; the largest model that ran has {weights:,.2f} GiB of weights."


MISTAKES: dict[str, Callable[[Sequence[Record]], str]] = {
    "The first call is in the mean, so the standard deviation exceeds it": _first_call,
    "The clock stops before the device has finished": _clock,
    "Memory of one cell is carried over into the next": _carried_over,
    "The size of a tensor is computed wrong": _tensor_size,
    "Types under autocast are guessed": _types,
    "A model is said not to fit, though it does": _does_not_fit,
}
