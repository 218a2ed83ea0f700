"""ServedLab: a Case behind HTTP, and what its clients saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.case import Case
from honed.errors import HonedError
from honed.measures import MEASURES
from honed.phase import Phase
from honed.run import served
from honed.run.parent import InterruptedRun
from honed.run.served import Clients, ServedLab, server_words
from honed.store import Store, open_store

CASE = Case(
    model="tiny-bert", backend="torch", instances=2, threads=1, batch_size=8, sequence_length=16,
    duration_s=0.5, warmup_s=0.1, memory=False, oversubscribe=True,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "records.db"))


@pytest.mark.engine
def test_the_record_is_of_the_server_and_by_its_clients(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "_LEAST_S", 0.5)
    phases: list[Phase | None] = []
    lab = ServedLab(store, Clients(4, 60_000))
    record = lab.measure(CASE, "a-study", phases.append)
    assert record.status == "ok", record.error
    assert record.case["backend"] == "torch"
    assert (record.case["instances"], record.case["workload"]) == (2, "clients")
    assert record.case["clients.count"] == 4
    assert "http.url" not in record.case
    goodput = MEASURES["goodput"].value(record)
    assert goodput is not None
    assert goodput > 0
    assert record.metrics is not None
    assert record.metrics.latency_s.p50 > 0
    assert lab.record(record.id) == record
    assert {Phase.LOADING, Phase.MEASURING} <= set(phases)


def test_a_server_that_cannot_start_is_a_record_that_says_why(store: Store) -> None:
    broken = CASE.replace(backend="fake", knobs={"fake.fail": "raise"})
    record = ServedLab(store, Clients(4, 100)).measure(broken)
    assert record.status not in ("ok", "unproven")
    assert record.error is not None
    assert "met a shape that it cannot run" in record.error.message
    assert record.case["backend"] == "fake"


def test_what_stops_the_measurement_stops_the_server(store: Store) -> None:
    class TimeUp(HonedError):
        status = "timeout"

    def stop(_: Phase | None) -> None:
        raise TimeUp("the time was up", "more time")

    def interrupt(_: Phase | None) -> None:
        raise KeyboardInterrupt

    lab = ServedLab(store, Clients(4, 100))
    assert lab.measure(CASE, on_phase=stop).status == "timeout"
    with pytest.raises(InterruptedRun):
        lab.measure(CASE, on_phase=interrupt)


def test_the_server_gets_the_words_that_are_about_a_server() -> None:
    case = CASE.replace(lengths="8..16", knobs={"torch.mode": "compile", "padding": "buckets"})
    words = server_words(case)
    assert {"model=tiny-bert", "instances=2", "threads=1", "torch.mode=compile",
            "padding=buckets"} <= set(words)  # fmt: skip
    keys = {word.partition("=")[0] for word in words}
    assert not keys & {"batch_size", "lengths", "duration_s", "memory", "workload"}
