"""Halving: which release is the first slow one, by comparisons that stop when decided.

The two ends are compared first. If the newest release is slower by a factor r, a release in the
middle is compared with the older end, and the question is whether it is slower by more than the
root of r: a release before the slowdown and one after it are equally far from this limit, so that
either answer comes soon. At the end the two neighbours are compared with processes of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from honed.blame.outcome import Blame, Ended, Look, Role, Skipped
from honed.blame.releases import Releases
from honed.case import Case
from honed.compare.outcome import Comparison
from honed.compare.session import CompareOptions, CompareProgress
from honed.compare.session import compare as in_turns
from honed.errors import HonedError
from honed.experiment import sentinel
from honed.experiment.draw import Metric
from honed.measures import MEASURES
from honed.record import Interval
from honed.run.lab import Lab
from honed.run.sweep import check

_ENDS_UNDECIDED = "half of the budget did not tell the two ends apart; a larger --budget may"
_LARGEST_SHARE = 0.99  # that a comparison asks for: slower by 99 %
_LEAST_S = 1.0  # of a comparison whose share of the budget is spent: it still measures two blocks


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a search; carries what was found so far."""

    def __init__(self, blame: Blame) -> None:
        super().__init__()
        self.blame = blame


@dataclass(frozen=True, slots=True)
class BlameOptions:
    """The question and the time for all comparisons together. `on_progress` gets the older and
    the newer release with the progress of their comparison."""

    metric: Metric = "latency"
    resolution: float = 0.02
    budget_s: float = 1800.0
    seed: int | None = None
    on_progress: Callable[[str, str, CompareProgress], None] = lambda _older, _newer, _at: None
    read_sentinel: Callable[[Sequence[int]], float] = sentinel.read

    def __post_init__(self) -> None:
        # Refuses a question without sense now, and not after environments have been made.
        CompareOptions(self.metric, self.resolution, budget_s=self.budget_s)


def blame(
    case: Case,
    releases: Releases,
    prepare: Callable[[str], str],
    options: BlameOptions,
    lab: Lab,
) -> Blame:
    """Search `releases` for the first one that makes `case` slower.

    `prepare` makes the environment of a release and returns its name for `python=`; a release for
    which it raises HonedError is skipped, as is one without a result. HonedError is passed on for
    the two ends, without which there is no question. A Case that no machine of this size can place
    is refused before any environment is made.
    """
    check(case)
    search = _Search(case, releases, prepare, options, lab)
    try:
        return search.result()
    except KeyboardInterrupt:
        raise Interrupted(search.ended("interrupted")) from None


class _NoResultError(HonedError):
    """A release gave no result; `version` says which."""

    def __init__(self, version: str, message: str, hint: str) -> None:
        super().__init__(f"{version}: {message}", hint)
        self.version = version


@dataclass(slots=True)
class _Search:
    case: Case
    releases: Releases
    prepare: Callable[[str], str]
    options: BlameOptions
    lab: Lab
    looks: list[Look] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_s = self.lab.clock_s()

    def result(self) -> Blame:
        versions = self.releases.versions
        low, high = 0, len(versions) - 1
        whole = self._look("ends", versions[low], versions[high])
        if whole.verdict == "undecided":
            return self.ended("undecided", reason=_ENDS_UNDECIDED)
        if whole.verdict != "slower":
            return self.ended("not slower")
        limit = self._half(whole.ratio)
        while (middle := self._middle(low, high)) is not None:
            try:
                look = self._look("halving", versions[low], versions[middle], limit)
            except HonedError as error:
                if isinstance(error, _NoResultError) and error.version != versions[middle]:
                    raise
                self.skipped.append(Skipped(versions[middle], error.message))
                continue
            if look.verdict == "undecided":
                between = versions[low], versions[high]
                return self.ended("undecided", between, reason=_why_undecided(look))
            if look.verdict == "slower":
                high = middle
            else:
                low = middle
        return self._confirmed(low, high)

    def ended(
        self, how: Ended, between: tuple[str, str] | None = None,
        ratio: Interval | None = None, reason: str = "",
    ) -> Blame:  # fmt: skip
        before, guilty = between or (None, None)
        return Blame(
            self.releases.package, self.options.metric, self.releases.versions, ended=how,
            looks=tuple(self.looks), skipped=tuple(self.skipped), before=before, guilty=guilty,
            ratio=ratio or Interval(None), reason=reason,
            elapsed_s=self.lab.clock_s() - self.began_s,
        )  # fmt: skip

    def _confirmed(self, low: int, high: int) -> Blame:
        """Compare the two neighbours afresh. Where releases between them were skipped, nobody can
        say which of them it was."""
        versions = self.releases.versions
        pair = versions[low], versions[high]
        look = self._look("confirming", *pair)
        if look.verdict != "slower":
            reason = f"when these two were measured afresh, the verdict was {look.verdict!r}"
            return self.ended("undecided", pair, look.ratio, reason)
        if high - low > 1:
            skipped = ", ".join(versions[low + 1 : high])
            reason = f"{skipped} could not be measured, so that it may be any of them"
            return self.ended("undecided", pair, look.ratio, reason)
        return self.ended("found", pair, look.ratio)

    def _middle(self, low: int, high: int) -> int | None:
        """The release nearest to the middle that was not skipped; None if there is none left."""
        gone = {skipped.version for skipped in self.skipped}
        left = [i for i in range(low + 1, high) if self.releases.versions[i] not in gone]
        return min(left, key=lambda i: abs(i - (low + high) / 2)) if left else None

    def _look(self, role: Role, older: str, newer: str, slower_than: float | None = None) -> Look:
        cases = {v: self.case.replace(python=self.prepare(v)) for v in (older, newer)}
        options = CompareOptions(
            metric=self.options.metric, resolution=self.options.resolution,
            slower_than=slower_than, budget_s=self._share_s(), seed=self.options.seed,
            on_progress=lambda at: self.options.on_progress(older, newer, at),
            read_sentinel=self.options.read_sentinel,
        )  # fmt: skip
        look = _look_of(role, older, newer, in_turns(cases, options, self.lab))
        self.looks.append(look)
        return look

    def _share_s(self) -> float:
        """Half of the budget for the two ends, without which there is no search: they must be told
        apart by the whole slowdown. Then the time left, divided by the comparisons that are
        probably left."""
        if not self.looks:
            return self.options.budget_s / 2
        halvings = math.ceil(math.log2(max(1, len(self.releases.versions) - 1)))
        left = max(1, 2 + halvings - len(self.looks))
        spent_s = self.lab.clock_s() - self.began_s
        return max(_LEAST_S, (self.options.budget_s - spent_s) / left)

    def _half(self, whole: Interval) -> float:
        """Half of the slowdown on a logarithmic scale, as a share of the metric. Of a slowdown by
        more than a factor of four it is less than half, but still far from both ends."""
        assert whole.value is not None
        is_time = MEASURES[self.options.metric].better == "less"
        root = math.exp(abs(math.log(whole.value)) / 2)
        return min(root - 1, _LARGEST_SHARE) if is_time else 1 - 1 / root


def _look_of(role: Role, older: str, newer: str, found: Comparison) -> Look:
    if found.failure is not None:
        failure = found.failure
        raise _NoResultError(failure.side, f"{failure.status}: {failure.message}", failure.hint)
    if found.ended == "interrupted":
        raise KeyboardInterrupt
    verdict, ratio = "undecided", Interval(None)
    if found.contrasts:
        (contrast,) = found.contrasts  # of the newer release; the older one is the other side
        verdict, ratio = contrast.verdict, contrast.ratio
    counted = sum(trial.counted for trial in found.trials)
    return Look(
        role, older, newer, verdict, ratio, trials=counted,
        elapsed_s=found.elapsed_s, sweep=found.sweep,
    )  # fmt: skip


def _why_undecided(look: Look) -> str:
    return (
        f"{look.newer} lies between the two: the budget ended, or more than one release made it "
        "slower"
    )
