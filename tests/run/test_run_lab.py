"""A Lab measures Cases and keeps every Record, also of those that end badly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from honed.case import Case
from honed.errors import HonedError, StoreError
from honed.phase import Phase
from honed.record import Record
from honed.run.lab import LocalLab, NotStoredError
from honed.run.parent import InterruptedRun
from honed.run.sweep import plan_sweep, run_sweep
from honed.store import Store, open_store

QUICK = ["model=tiny", "backend=fake", "duration_s=0.05", "warmup_s=0.05", "memory=false"]
CASE = Case(model="tiny", backend="fake", duration_s=0.05, warmup_s=0.05, memory=False)


class FullStore:
    """A store that refuses the first `refusals` Records."""

    def __init__(self, store: Store, refusals: int) -> None:
        self.store = store
        self.refusals = refusals

    def append(self, record: Record, sweep: str | None = None) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise StoreError("the disk is full", "make room")
        self.store.append(record, sweep=sweep)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "records.db"))


def lab_with(store: Store, refusals: int) -> LocalLab:
    return LocalLab(FullStore(store, refusals))  # type: ignore[arg-type]


def test_a_record_is_stored_under_its_sweep(store: Store) -> None:
    lab, phases = LocalLab(store), []
    record = lab.measure(CASE, "a-study", phases.append)
    assert lab.record(record.id) == record
    assert store.finished("a-study") == {CASE.id}
    assert Phase.MEASURING in phases
    assert lab.record("nothing") is None


def test_an_interrupted_case_is_stored_too(store: Store) -> None:
    def interrupt(phase: Phase | None) -> None:
        if phase is Phase.MEASURING:
            raise KeyboardInterrupt

    lab = LocalLab(store)
    with pytest.raises(InterruptedRun) as stopped:
        lab.measure(CASE, "a-study", interrupt)
    stored = lab.record(stopped.value.record.id)
    assert stored is not None
    assert stored.status == "interrupted"


def test_what_a_listener_raises_becomes_the_records_status(store: Store) -> None:
    class TooSlow(HonedError):
        status = "timeout"

    def give_up(phase: Phase | None) -> None:
        if phase is Phase.WARMING_UP:
            raise TooSlow("it cannot win")

    record = LocalLab(store).measure(CASE, on_phase=give_up)
    assert record.status == "timeout"
    assert record.error is not None
    assert record.error.message == "it cannot win"


def test_a_refused_record_is_stored_with_the_next_one(store: Store) -> None:
    lab = lab_with(store, refusals=1)
    with pytest.raises(NotStoredError) as refused:
        lab.measure(CASE, "a")
    second = lab.measure(CASE.replace(seed=1), "a")
    assert store.get(refused.value.record.id) == refused.value.record
    assert store.get(second.id) == second


def test_a_sweep_goes_on_while_the_store_refuses(store: Store) -> None:
    plan = plan_sweep(store, [*QUICK, "seed=0,1"], None, resume=False)
    records = list(run_sweep(plan, lab_with(store, refusals=1), lambda _: None))
    assert [record.status for record in records] == ["ok", "ok"]
    assert store.finished(plan.sweep_id) == {case.id for case in plan.todo}


def test_what_cannot_be_stored_at_all_is_written_to_a_file(store: Store) -> None:
    plan = plan_sweep(store, [*QUICK, "seed=0,1"], None, resume=False)
    records: list[Record] = []
    with pytest.raises(StoreError, match="2 records could not be stored") as refused:
        records.extend(run_sweep(plan, lab_with(store, refusals=9), lambda _: None))
    (file,) = re.findall(r"\S+\.jsonl", refused.value.message)
    lines = Path(file).read_text().splitlines()
    assert [Record.from_json(json.loads(line)).status for line in lines] == ["ok", "ok"]
    Path(file).unlink()
