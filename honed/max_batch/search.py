"""The search: one sequence without the limit, then tries under it, until two sizes bracket it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from honed.case import Case
from honed.errors import UsageError
from honed.knobs import belongs, filled_in
from honed.machine import limits
from honed.max_batch.found import NAME, LargestBatch, Try
from honed.max_batch.predict import Expectation, Growth
from honed.phase import OnPhase
from honed.plain import to_plain
from honed.record import Error, Record
from honed.run.lab import Lab
from honed.units import size, size_bytes
from honed.workloads.max_batch import parts_of_batch, workload_of_try

# Sizes that differ by less are not told apart: one in fifty, and always one sequence.
_RESOLUTION = 1 / 50
# After so many tries, measured peaks no longer choose the next size: halving the bracket ends.
_GUIDED_TRIES = 8
# A prediction may be twice too large: after so many halves that fail too, roots are tried.
_HALVED_TRIES = 2
_MOST = 1 << 16
# Of the memory that is free: the limit without memory=, and the limit of the process of one
# sequence. The rest is for the machine's other processes.
_FREE_SHARE = 0.8
_COUNTS = {"steps": 1, "warmup_steps": 1}  # where a workload counts its calls
# Statuses of a try that ran to its end, and so fits, whether or not its outputs are right.
_RAN = ("ok", "unproven", "diverged")


@dataclass(slots=True)
class Search:
    """One search. Tries are stored under `sweep`; `on_try` is told each as it ends.

    It starts with the batch size of the Case, or, where this is 1, with the predicted one. Where
    gradients are accumulated, all sizes are multiples of the number of parts, and `alone` has one
    sequence in each.
    """

    case: Case
    lab: Lab
    sweep: str
    on_phase: OnPhase
    growth: Callable[[Case], Growth | None]
    on_try: Callable[[Try], None] = lambda _: None
    _records: dict[int, Record] = field(default_factory=dict)
    _tries: list[Try] = field(default_factory=list)

    def run(self) -> Record:
        """The Record of the search: memory and fidelity of the largest batch that fits, and every
        try. It has no speed, which the Record of that try has."""
        began_s = self.lab.clock_s()
        free_bytes = int((limits.free_bytes() or 2**30) * _FREE_SHARE) // 2**20 * 2**20
        limit_bytes = self._limit_bytes(free_bytes)
        parts = parts_of_batch(self.case)
        record = self._measured(parts, size(free_bytes))
        alone = _try(record, parts, None)
        if not alone.fits:
            return self._answer(record, None, began_s)
        found = self._found(alone, limit_bytes)
        best = self._records[found.batch_size or min(self._records)]
        return self._answer(best, found, began_s)

    def _found(self, alone: Try, limit_bytes: int) -> LargestBatch:
        """Try sizes until two of them bracket the answer."""
        growth = None if alone.peak_bytes is None else self.growth(self.case)
        expected = None
        if growth is not None and alone.peak_bytes is not None:
            expected = Expectation(growth, alone.peak_bytes, self.case.instances)
        predicted = None if expected is None else expected.most(limit_bytes)
        parts = alone.batch_size
        start = self.case.batch_size if self.case.batch_size > 1 else predicted or 1
        batch_size: int | None = max(1, min(start, _MOST) // parts) * parts
        while batch_size is not None:
            record = self._records[batch_size] = self._measured(batch_size, size(limit_bytes))
            expected_bytes = None if expected is None else expected.peak_bytes(batch_size)
            self._tries.append(_try(record, batch_size, expected_bytes))
            self.on_try(self._tries[-1])
            batch_size = next_size([alone], self._tries, limit_bytes, parts)
        low, high = _bracket(self._tries)
        return LargestBatch(
            low, high, limit_bytes, self._limited_by(), predicted,
            "" if growth is None else growth.source, alone, tuple(self._tries),
        )  # fmt: skip

    def _limited_by(self) -> str:
        """How the kernel held the limit; empty where no try came so far as to read it back."""
        effective = [r.effective[0] for r in self._records.values() if r.effective]
        return str(effective[0].get("memory_limited_by") or "") if effective else ""

    def _limit_bytes(self, free_bytes: int) -> int:
        """UsageError for a limit that would not keep the machine from running out of memory."""
        if self.case.memory_limit is None:
            return free_bytes
        limit_bytes = size_bytes(self.case.memory_limit)
        if limit_bytes > free_bytes:
            raise UsageError(
                f"memory={self.case.memory_limit} is more than what this machine can spare",
                f"memory={size(free_bytes)}, 80 % of what is free, or less",
            )
        return limit_bytes

    def _measured(self, batch_size: int, limit: str | None) -> Record:
        return self.lab.measure(
            case_of_try(self.case, batch_size, limit), self.sweep, self.on_phase
        )

    def _answer(self, of: Record, found: LargestBatch | None, began_s: float) -> Record:
        """The Record `of` a try as that of the whole search."""
        error = of.error
        if found is not None and not found.batch_size and error is not None:
            error = Error(error.kind, f"not even one sequence fits: {error.message}",
                          "give it more memory=, or a shorter sequence_length")  # fmt: skip
        return replace(
            of, id=uuid.uuid4().hex[:12], case=filled_in(self.case), error=error,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            samples=None, metrics=None, inputs=None, doubts=(),
            passes=None if found is None else {NAME: to_plain(found)},
            elapsed_s=self.lab.clock_s() - began_s,
        )  # fmt: skip


def case_of_try(case: Case, batch_size: int, limit: str | None) -> Case:
    """What is measured at one batch size: a call that is timed, and the passes about it."""
    workload = workload_of_try(case)
    foreign = [key for key in case.knobs if not belongs(key, case.backend, workload)]
    counted = {k: n for k, n in _COUNTS.items() if belongs(k, case.backend, workload)}
    return case.replace(
        workload=workload, batch_size=batch_size, total_batch=None, memory_limit=limit,
        duration_s=0.01, min_samples=1, warmup_s=0.0, memory=True, batches=None, passes=None,
        eval=None, eval_metric="auto", max_accuracy_drop=None,
        knobs={**dict.fromkeys(foreign), **counted},
    )  # fmt: skip


def next_size(
    alone: Sequence[Try], tries: Sequence[Try], limit_bytes: int, parts: int = 1
) -> int | None:
    """The batch size to try next, a multiple of `parts`; None where the answer is bracketed.

    While nothing has failed, sizes grow by doubling steps. The memory that fitting sizes took says
    where the limit may be, and the first tries follow it; then the bracket is halved.
    """
    alone, tries = ([_of_part(one, parts) for one in each] for each in (alone, tries))
    found = _next_of_part(alone, tries, limit_bytes)
    return None if found is None else found * parts


def _of_part(one: Try, parts: int) -> Try:
    return replace(one, batch_size=one.batch_size // parts)


def _next_of_part(alone: Sequence[Try], tries: Sequence[Try], limit_bytes: int) -> int | None:
    low, high = _bracket(tries)
    if low >= _MOST or (high is not None and high - low <= max(1, int(low * _RESOLUTION))):
        return None
    aim = _aim([*alone, *tries], limit_bytes) if len(tries) < _GUIDED_TRIES else None
    step = max(1, int(low * _RESOLUTION))
    if high is None:
        step *= 2 ** max(0, sum(one.fits for one in tries) - 1)
        wanted = low + step if aim is None or aim <= low else min(aim, 8 * low)
        return min(wanted, _MOST)
    if aim is not None and low < (wanted := max(aim, low + step)) < high:
        return wanted
    if low or len(tries) <= _HALVED_TRIES:
        return (low + high) // 2
    return math.isqrt(high)


def _bracket(tries: Sequence[Try]) -> tuple[int, int | None]:
    """The largest size that fits, 0 if none does, and the least that does not."""
    high = min((one.batch_size for one in tries if not one.fits), default=None)
    fits = [one.batch_size for one in tries if one.fits]
    return max((n for n in fits if high is None or n < high), default=0), high


def _aim(tries: Sequence[Try], limit_bytes: int) -> int | None:
    """Where the line through the smallest and the largest size that fit meets the limit."""
    known = {t.batch_size: t.peak_bytes for t in tries if t.fits and t.peak_bytes is not None}
    if len(known) < 2:
        return None
    small, large = min(known), max(known)
    each = (known[large] - known[small]) / (large - small)
    return int(large + (limit_bytes - known[large]) / each) if each > 0 else None


def _try(record: Record, batch_size: int, predicted_bytes: int | None) -> Try:
    fits = record.status in _RAN
    why = "" if fits or record.error is None else record.error.message
    return Try(
        batch_size, fits, record.status, _peak_bytes(record), predicted_bytes, why, record.id
    )


def _peak_bytes(record: Record) -> int | None:
    """The anonymous memory of all instances at its peak: what no kernel takes back."""
    peak = record.memory.rss_anon_peak_bytes if record.memory else None
    return None if peak is None else peak * int(record.case.get("instances") or 1)
