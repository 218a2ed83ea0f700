"""A suite as a sweep: what does not fit is not tried, and an interruption is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_lab import FakeLab

from honed.case import Case
from honed.errors import UsageError
from honed.machine import limits
from honed.phase import OnPhase, ignore_phase
from honed.plan.of_case import Expected
from honed.record import Record
from honed.run.parent import InterruptedRun
from honed.store import Store, open_store
from honed.suite import measure as suite
from honed.suite.base import Experiment, load_suite
from honed.suite.planned import PlannedLab
from honed.timeline import Timeline

GIB = 2**30
TINY = "model=tiny backend=fake sequence_length=8"
EXPERIMENTS = (
    Experiment("one", "One", "?", "phases", (f"{TINY} batch_size=1,2",)),
    Experiment("two", "Two", "?", "phases", (f"{TINY} batch_size=2,4", f"{TINY} batch_size=8")),
)


class StoringLab(FakeLab):
    """A FakeLab that stores its records under the sweep, as LocalLab does."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        try:
            record = super().measure(case, sweep, on_phase)
        except InterruptedRun as stopped:
            self.store.append(stopped.record, sweep)
            raise
        self.store.append(record, sweep)
        return record


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    def found(_: str) -> Any:
        return SimpleNamespace(experiments=lambda **_: EXPERIMENTS)

    monkeypatch.setattr(suite, "load_suite", found)
    with open_store(str(tmp_path / "records.db")) as opened:
        yield opened


def batches(records: list[Record]) -> list[int]:
    return [record.case["batch_size"] for record in records]


def measured(plan: suite.SuitePlan, lab: FakeLab) -> list[Record]:
    return list(suite.measure_suite(plan, lab, lambda _: None))


def test_experiments_share_cases_and_get_their_records_in_order(store: Store) -> None:
    plan = suite.plan_suite(store, "any")
    lab = StoringLab(store)
    assert batches(measured(plan, lab)) == [1, 2, 4, 8]
    one, two = suite.results(store, plan)
    assert (batches(list(one.records)), batches(list(two.records))) == ([1, 2], [2, 4, 8])
    assert (one.left, two.left) == (0, 0)
    assert one.expected == {}


def test_an_interrupted_suite_goes_on_where_it_stopped(store: Store) -> None:
    lab = StoringLab(store)
    lab.interrupt_after = 2
    plan = suite.plan_suite(store, "any")
    assert [r.status for r in measured(plan, lab)] == ["ok", "ok", "interrupted"]
    assert [result.left for result in suite.results(store, plan)] == [0, 2]
    lab.interrupt_after = None
    rest = suite.plan_suite(store, "any")
    assert (rest.sweep.sweep_id, rest.sweep.done) == (plan.sweep.sweep_id, 2)
    assert batches(measured(rest, lab)) == [4, 8]
    finished = suite.plan_suite(store, "any")
    assert finished.sweep.todo == ()
    assert [result.left for result in suite.results(store, finished)] == [0, 0]
    anew = suite.plan_suite(store, "any", again=True)
    assert len(anew.sweep.todo) == 4
    assert anew.sweep.sweep_id != plan.sweep.sweep_id


class TooLarge:
    """Planners for whom batches from four on need a hundred gibibytes."""

    def expect(self, case: Case) -> Expected | None:
        size = 100 * GIB if case.batch_size >= 4 else GIB
        return Expected(size, size, GIB, Timeline((), 0))


def test_what_does_not_fit_by_its_plan_is_recorded_and_not_tried(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "free_bytes", lambda: 20 * GIB)
    plan = suite.plan_suite(store, "any")
    lab = PlannedLab(StoringLab(store), TooLarge())  # type: ignore[arg-type]
    records = [lab.measure(case, plan.sweep.sweep_id) for case in plan.sweep.todo]
    assert [r.status for r in records] == ["ok", "ok", "oom", "oom"]
    assert records[2].error is not None
    assert "takes 100.0 GiB of tensors" in records[2].error.message
    assert "20.0 GiB are free: it was not tried" in records[2].error.message
    assert suite.plan_suite(store, "any").sweep.todo == ()  # a refusal is final


def test_nothing_is_refused_where_no_plan_or_no_limit_is_known(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = PlannedLab(StoringLab(store), TooLarge())  # type: ignore[arg-type]
    large = Case(model="tiny", batch_size=4)
    monkeypatch.setattr(limits, "free_bytes", lambda: None)
    assert lab.refusal(large) is None
    monkeypatch.setattr(limits, "free_bytes", lambda: GIB)
    assert lab.refusal(large) is not None
    assert lab.refusal(large.replace(device="cuda")) is None
    assert PlannedLab(StoringLab(store)).refusal(large.replace(backend="fake")) is None


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no suite is called 'lm-system'") as refused:
        load_suite("lm-system")
    assert "lm-systems" in refused.value.hint
