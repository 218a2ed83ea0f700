"""A comparison from Cases to verdict, with measuring replaced by simulated processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import failed_record, make_record

from honed.case import Case
from honed.compare import compare, session
from honed.compare.session import How, Progress, short
from honed.errors import StoreError, UsageError
from honed.record import Doubt, Record
from honed.run.parent import InterruptedRun
from honed.store import open_store

FAST, SLOW = Case("tiny", backend="fake"), Case("tiny", backend="fake", batch_size=2)
Measure = Callable[..., Record]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Measure], None]:
    """Replaces real processes; a reading of the sentinel costs nothing then either."""

    def install(measure: Measure) -> None:
        monkeypatch.setattr(session, "measure", measure)
        monkeypatch.setattr(session.sentinel, "read", lambda _=(): 0.05)

    return install


def luck(times_s: dict[int, float], sd: float = 0.01, **fields: Any) -> Measure:
    """Processes whose median depends on the batch size, each with a luck of its own."""
    rng, seeds = np.random.default_rng(0), iter(range(10**6))

    def measure(case: Case, on_phase: Callable[[str], None] = lambda _: None) -> Record:
        on_phase("measuring")
        p50_s = times_s[case.batch_size] * float(np.exp(sd * rng.standard_normal()))
        return make_record(case.to_json(), p50_s=p50_s, calls=10, seed=next(seeds), **fields)

    return measure


def test_the_verdict_rests_on_stored_records(
    url: str, processes: Callable[[Measure], None]
) -> None:
    processes(luck({1: 0.01, 2: 0.011}))
    found = compare({"A": FAST, "B": SLOW}, How(store=url, seed=1))
    assert found.verdict == "slower"
    assert found.ended == "decided"
    ratio = found.contrasts[0].ratio
    assert ratio.value == pytest.approx(1.1, rel=0.02)
    assert ratio.ci95 is not None
    assert ratio.ci95[0] < 1.1 < ratio.ci95[1]
    with open_store(url) as store:
        stored = {r.id: r for r in store.list(limit=None, where={"sweep": found.sweep})}
    assert set(stored) == {t.record for t in found.trials}
    for trial in found.trials:
        metrics = stored[trial.record].metrics
        assert metrics is not None
        assert metrics.latency_s.p50 == trial.value
    assert found.sides[1].differs == {"batch_size": "2"}
    assert found.sides[0].cosine_min == pytest.approx(1, abs=1e-4)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert {"verdict", "ratio", "trials"} <= set(json.loads(text))


def test_throughput_is_compared_by_what_is_done(
    url: str, processes: Callable[[Measure], None]
) -> None:
    processes(luck({1: 0.01, 2: 0.012}))
    found = compare([FAST, SLOW], How(store=url, metric="throughput", seed=1))
    # Two sequences in 1.2 times the time.
    assert found.contrasts[0].ratio.value == pytest.approx(2 / 1.2, rel=0.03)
    assert found.verdict == "faster"


def test_a_tie_and_an_undecided_one(url: str, processes: Callable[[Measure], None]) -> None:
    processes(luck({1: 0.01, 2: 0.01}, sd=0.005))
    assert compare([FAST, SLOW], How(store=url, seed=1)).verdict == "tie"
    processes(luck({1: 0.01, 2: 0.01}, sd=0.2))
    found = compare([FAST, SLOW], How(store=url, seed=1, budget_s=0.4))
    assert (found.verdict, found.ended) == ("undecided", "budget")
    assert found.elapsed_s < 2


def test_a_budget_too_small_for_one_round_still_makes_it(
    url: str, processes: Callable[[Measure], None]
) -> None:
    processes(luck({1: 0.01, 2: 0.01}))
    found = compare([FAST, SLOW], How(store=url, budget_s=1e-3))
    assert found.ended == "budget"
    assert found.verdict == "undecided"
    assert len(found.trials) == 4


def test_the_gate_asks_another_question(url: str, processes: Callable[[Measure], None]) -> None:
    processes(luck({1: 0.01, 2: 0.0103}))
    gate = How(store=url, seed=1, slower_than=0.10)
    assert compare([FAST, SLOW], gate).verdict == "not slower"
    processes(luck({1: 0.01, 2: 0.0115}))
    assert compare([FAST, SLOW], replace(gate, slower_than=0.05)).verdict == "slower"


@pytest.mark.parametrize(
    ("status", "message"),
    [("crashed", "the worker died"), ("diverged", "cosine 0.1"), ("unproven", "threads")],
)
def test_a_failed_trial_ends_it_and_diverged_never_wins(
    url: str, processes: Callable[[Measure], None], status: str, message: str
) -> None:
    good = luck({1: 0.01})

    def measure(case: Case, on_phase: Callable[[str], None]) -> Record:
        if case.batch_size == 1:
            return good(case, on_phase)
        if status == "crashed":
            return failed_record(status, message, "fix it", case.to_json())
        failure = failed_record(status, message, "fix it").error
        return make_record(case.to_json(), p50_s=0.001, status=status, error=failure)

    processes(measure)
    found = compare([FAST, SLOW], How(store=url, seed=1))
    assert (found.verdict, found.ended, found.contrasts) == ("failed", "failed", ())
    assert found.failure is not None
    assert (found.failure.side, found.failure.status) == ("B", status)
    assert found.failure.hint == "fix it"
    assert found.sides[1].median is None
    with open_store(url) as store:
        assert store.get(str(found.failure.record)).status == status


def test_ctrl_c_keeps_what_was_found(url: str, processes: Callable[[Measure], None]) -> None:
    good, calls = luck({1: 0.01, 2: 0.01}, sd=0.1), iter(range(100))

    def measure(case: Case, on_phase: Callable[[str], None]) -> Record:
        if next(calls) == 9:
            raise InterruptedRun(failed_record("interrupted", "stopped", case=case.to_json()))
        return good(case, on_phase)

    processes(measure)
    found = compare([FAST, SLOW], How(store=url, seed=1))
    assert found.ended == "interrupted"
    assert found.verdict == "undecided"
    assert len(found.trials) == 9
    with open_store(url) as store:
        assert len(store.list(limit=None, where={"sweep": found.sweep})) == 10


def test_a_process_that_exported_first_does_not_count(
    url: str, processes: Callable[[Measure], None]
) -> None:
    good, seen = luck({1: 0.01, 2: 0.02}), set[int]()

    def measure(case: Case, on_phase: Callable[[str], None]) -> Record:
        record = good(case, on_phase)
        if case.batch_size in seen:
            return record
        seen.add(case.batch_size)
        assert record.metrics is not None
        return replace(record, metrics=replace(record.metrics, build_s=3.0))

    processes(measure)
    found = compare([FAST, SLOW], How(store=url, seed=1))
    uncounted = [t for t in found.trials if not t.counted]
    assert sorted(t.side for t in uncounted) == ["A", "B"]
    assert found.contrasts[0].blocks == found.sides[0].trials == found.sides[1].trials
    assert not {t.record for t in uncounted} & set(found.sides[0].records)


def test_progress_tells_the_trial_and_the_interval(
    url: str, processes: Callable[[Measure], None]
) -> None:
    processes(luck({1: 0.01, 2: 0.0101}))
    seen: list[Progress] = []
    found = compare([FAST, SLOW], How(store=url, seed=1, on_progress=seen.append))
    assert {p.phase for p in seen} == {"starting", "measuring"}
    assert seen[-1].trial == len(found.trials)
    assert seen[0].contrasts == ()
    assert seen[-1].contrasts[0].side == "B"
    assert all(0 <= p.left_s <= 600 for p in seen)


def test_what_half_of_the_trials_doubt_is_said_once(
    url: str, processes: Callable[[Measure], None]
) -> None:
    doubts = (Doubt("steal", "the hypervisor took 9 %"), Doubt("too_few", "10 calls"))
    processes(luck({1: 0.01, 2: 0.02}, doubts=doubts))
    found = compare([FAST, SLOW], How(store=url, seed=1))
    assert [d.kind for d in found.doubts] == ["steal"]
    count = len(found.trials)
    assert found.doubts[0].message == f"in {count} of {count} trials the hypervisor took 9 %"


def test_a_machine_that_slows_down_is_said(
    url: str, processes: Callable[[Measure], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes(luck({1: 0.01, 2: 0.01}, sd=0.01))
    readings = iter(0.05 * 1.02**i for i in range(1000))
    monkeypatch.setattr(session.sentinel, "read", lambda _=(): next(readings))
    found = compare([FAST, SLOW], How(store=url, seed=1))
    assert "drift" in [d.kind for d in found.doubts]


def test_a_trial_is_short_unless_its_length_was_asked_for() -> None:
    assert (short(FAST).duration_s, short(FAST).memory) == (0.7, False)
    asked = Case("tiny", duration_s=3.0, min_samples=50, warmup_s=1.0)
    assert (short(asked).duration_s, short(asked).min_samples, short(asked).warmup_s) == (3, 50, 1)


@pytest.mark.parametrize("wrong", [{"resolution": 0.0}, {"slower_than": 1.5}, {"budget_s": 0.0}])
def test_a_question_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        How(**wrong)  # type: ignore[arg-type]


def test_what_cannot_start_is_refused_before_any_trial(url: str) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([FAST], How(store=url))
    with pytest.raises(UsageError, match="need"):
        compare([FAST, FAST.replace(instances=999)], How(store=url))


def test_records_that_cannot_be_stored_end_it(
    url: str, processes: Callable[[Measure], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreError("the disk is full")

    processes(luck({1: 0.01, 2: 0.01}))
    monkeypatch.setattr(session.Store, "append", refuse)
    with pytest.raises(StoreError, match="full"):
        compare([FAST, SLOW], How(store=url))
