"""The whole study: sections, trials, findings; every Record stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.machine import limits, placement, topology
from honed.scale.findings import Finding, find, undecided
from honed.scale.sections import Section, sections
from honed.scale.trials import Progress, Trial, run
from honed.store import Store


def study(
    cases: Sequence[Case],
    budget_s: float,
    resolution: float,
    store: Store,
    on_progress: Callable[[Progress], None],
) -> list[Finding]:
    """Findings for one Case, or HonedError when its plainest setting does not run."""
    if len(cases) != 1:
        raise UsageError("honed scale sweeps by itself", "give one value for each key")
    (asked,) = placement.place(topology.read(), limits.read(), placement.PlacementRequest())
    todo = sections(cases[0], len(asked.cpus))
    trials: list[Trial] = []

    def still(section: Section) -> set[str]:
        return undecided(section, trials, resolution)

    for trial in run(todo, budget_s, still, on_progress):
        if not trials or trials[-1].record is not trial.record:
            store.append(trial.record)
        trials.append(trial)
        if trial.block == 0 and not trial.record.ok and trial.label == todo[0].settings[0].label:
            error = trial.record.error
            raise HonedError(
                f"the plainest setting is {trial.record.status}: {error.message if error else ''}",
                error.hint if error else "",
            )
    return [find(section, trials, resolution) for section in todo]
