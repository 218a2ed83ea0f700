"""Measure a suite: all of its Cases as one sweep, which goes on where an earlier one stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from honed.case import Case
from honed.compose import Sweep
from honed.plan.of_case import Expected, Planners
from honed.record import Record
from honed.run.lab import Lab
from honed.run.sweep import SweepPlan, SweepProgress, check, run_sweep
from honed.store import Store
from honed.suite.base import Experiment, all_cases, load_suite
from honed.suite.planned import PlannedLab

_EFFORT = ("passes", "steps", "duration_s", "min_samples", "timeout_s")


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The experiments of a suite, and what is left to measure of them."""

    name: str
    quick: bool
    experiments: tuple[Experiment, ...]
    sweep: SweepPlan


@dataclass(frozen=True, slots=True)
class Result:
    """An experiment with its records, in the order of its Cases. `left` is how many Cases have no
    record yet. `expected` are the plans of its Cases by their ids, where the view compares them
    with the measurements."""

    experiment: Experiment
    records: tuple[Record, ...]
    left: int = 0
    expected: Mapping[str, Expected] = field(default_factory=dict)


def plan_suite(store: Store, name: str, *, quick: bool = False, again: bool = False) -> SuitePlan:
    """What is left of the newest sweep of this suite; with `again`, a new sweep.

    UsageError if there is no such suite.
    """
    experiments = load_suite(name).experiments(quick=quick)
    cases = all_cases(experiments)
    for case in cases:
        check(case)
    earlier = None if again else store.find_sweep(cases)
    sweep_id = earlier or store.add_sweep(cases)
    finished = store.finished(sweep_id) if earlier else set()
    todo = tuple(case for case in cases if case.id not in finished)
    return SuitePlan(
        name, quick, experiments, SweepPlan(Sweep(cases, _varying(cases)), sweep_id, todo)
    )


def measure_suite(
    plan: SuitePlan, lab: Lab, on_progress: Callable[[SweepProgress], None]
) -> Iterator[Record]:
    """Measure what is left; what will not fit into memory by its plan is not tried."""
    yield from run_sweep(plan.sweep, PlannedLab(lab), on_progress)


def results(store: Store, plan: SuitePlan) -> list[Result]:
    """The records of every experiment, with the plans of those that show them."""
    stored = store.list(limit=None, where=[f"sweep={plan.sweep.sweep_id}"])
    newest = {r.to_case().id: r for r in stored if r.status != "interrupted"}
    planners = Planners()
    found = []
    for experiment in plan.experiments:
        cases = experiment.cases()
        measured = [case for case in cases if case.id in newest]
        records = tuple(newest[case.id] for case in measured)
        plans = {}
        if experiment.plans:
            known = (case for case in measured if newest[case.id].metrics is not None)
            plans = {case.id: of for case in known if (of := planners.expect(case)) is not None}
        found.append(Result(experiment, records, len(cases) - len(measured), plans))
    return found


def _varying(cases: Sequence[Case]) -> tuple[str, ...]:
    """The keys that differ between the Cases, by which progress lines name them; without those
    that say how a Case is measured, and without the sizes of the model."""
    keys = dict.fromkeys(key for case in cases for key in case.to_json())
    return tuple(
        key
        for key in keys
        if key not in _EFFORT
        and not key.startswith("model.")
        and len({case.get(key) for case in cases}) > 1
    )
