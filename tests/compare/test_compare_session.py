"""A comparison from Cases to verdict, with processes of a fake Lab."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_lab import FakeLab

import honed.compare
from honed.case import Case
from honed.compare.outcome import Comparison
from honed.compare.session import CompareOptions, CompareProgress, compare
from honed.errors import StoreError, UsageError
from honed.phase import Phase
from honed.record import Doubt
from honed.run import lab as local
from honed.store import Store

FAST, SLOW = Case("tiny", backend="fake"), Case("tiny", backend="fake", batch_size=2)
OPTIONS = CompareOptions(seed=1, read_sentinel=lambda _: 0.05)


def lab(times_s: dict[int, float], noise: float = 0.01, **fields: Any) -> FakeLab:
    """Processes whose median depends on the batch size, each with a luck of its own."""
    made = FakeLab(lambda case: times_s[case.batch_size], noise)
    made.fields = fields
    return made


def compared(lab: FakeLab, options: CompareOptions = OPTIONS) -> Comparison:
    return compare({"A": FAST, "B": SLOW}, options, lab)


def test_the_verdict_rests_on_stored_records() -> None:
    made = lab({1: 0.01, 2: 0.011})
    found = compared(made)
    assert found.verdict == "slower"
    assert found.ended == "decided"
    ratio = found.contrasts[0].ratio
    assert ratio.value == pytest.approx(1.1, rel=0.02)
    assert ratio.ci95 is not None
    assert ratio.ci95[0] < 1.1 < ratio.ci95[1]
    assert set(made.sweeps.values()) == {found.sweep}
    assert set(made.records) == {t.record for t in found.trials}
    for trial in found.trials:
        metrics = made.records[trial.record].metrics
        assert metrics is not None
        assert metrics.latency_s.p50 == trial.value
    assert found.sides[1].differs == {"batch_size": "2"}
    assert found.sides[0].cosine_min == pytest.approx(1, abs=1e-4)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert {"verdict", "ratio", "trials"} <= set(json.loads(text))


def test_a_side_is_the_median_of_its_trials() -> None:
    found = compared(lab({1: 0.01, 2: 0.011}))
    for side in found.sides:
        values = sorted(t.value for t in found.trials if t.side == side.label and t.value)
        assert side.trials == len(values) == len(side.records)
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        assert side.median == pytest.approx(middle)


def test_throughput_is_compared_by_sequences_per_second() -> None:
    found = compared(lab({1: 0.01, 2: 0.012}), replace(OPTIONS, metric="throughput"))
    # Two sequences in 1.2 times the time.
    assert found.contrasts[0].ratio.value == pytest.approx(2 / 1.2, rel=0.03)
    assert found.verdict == "faster"


def test_a_tie_and_an_undecided_one() -> None:
    assert compared(lab({1: 0.01, 2: 0.01}, noise=0.005)).verdict == "tie"
    found = compared(lab({1: 0.01, 2: 0.01}, noise=0.2), replace(OPTIONS, budget_s=200))
    assert (found.verdict, found.ended) == ("undecided", "budget")
    assert found.elapsed_s <= 200


def test_a_budget_too_small_for_one_round_still_makes_it() -> None:
    found = compared(lab({1: 0.01, 2: 0.01}), replace(OPTIONS, budget_s=1e-3))
    assert found.ended == "budget"
    assert found.verdict == "undecided"
    assert len(found.trials) == 4


def test_the_gate_asks_another_question() -> None:
    gate = replace(OPTIONS, slower_than=0.10)
    assert compared(lab({1: 0.01, 2: 0.0103}), gate).verdict == "not slower"
    strict = replace(gate, slower_than=0.05)
    assert compared(lab({1: 0.01, 2: 0.0115}), strict).verdict == "slower"


@pytest.mark.parametrize("status", ["crashed", "diverged", "unproven"])
def test_a_failed_trial_ends_it_and_diverged_never_wins(status: str) -> None:
    made = lab({1: 0.01, 2: 0.001})
    made.failing = lambda case: status if case.batch_size == 2 else None
    found = compared(made)
    assert (found.verdict, found.ended, found.contrasts) == ("failed", "failed", ())
    assert found.failure is not None
    assert (found.failure.side, found.failure.status) == ("B", status)
    assert found.failure.hint == "fix it"
    assert found.sides[1].median is None
    assert made.records[str(found.failure.record)].status == status
    assert found.trials[-1].status == status


def test_ctrl_c_keeps_what_was_measured() -> None:
    made = lab({1: 0.01, 2: 0.01}, noise=0.1)
    made.interrupt_after = 9
    found = compared(made)
    assert found.ended == "interrupted"
    assert found.verdict == "undecided"
    assert len(found.trials) == 9
    assert sum(side.trials for side in found.sides) == 9
    assert list(made.sweeps.values()) == [found.sweep] * 10


def test_a_process_that_exported_first_does_not_count() -> None:
    made = lab({1: 0.01, 2: 0.02})
    made.exports = lambda _: 1
    found = compared(made)
    uncounted = [t for t in found.trials if not t.counted]
    assert sorted(t.side for t in uncounted) == ["A", "B"]
    assert found.contrasts[0].blocks == found.sides[0].trials == found.sides[1].trials
    assert not {t.record for t in uncounted} & set(found.sides[0].records)


def test_progress_has_the_trial_and_the_interval() -> None:
    seen: list[CompareProgress] = []
    options = replace(OPTIONS, on_progress=seen.append)
    found = compared(lab({1: 0.01, 2: 0.0101}), options)
    assert {p.phase for p in seen} == {Phase.STARTING, Phase.LOADING, Phase.MEASURING}
    assert seen[-1].trial == len(found.trials)
    assert seen[0].contrasts == ()
    assert seen[-1].contrasts[0].side == "B"
    assert all(0 <= p.left_s <= 600 for p in seen)


def test_a_doubt_of_half_of_the_trials_is_shown_once() -> None:
    doubts = (Doubt("steal", "the hypervisor took 9 %"), Doubt("too_few", "10 calls"))
    found = compared(lab({1: 0.01, 2: 0.02}, doubts=doubts))
    assert [d.kind for d in found.doubts] == ["steal"]
    count = len(found.trials)
    assert found.doubts[0].message == f"in {count} of {count} trials the hypervisor took 9 %"


def test_a_machine_that_slows_down_is_doubted() -> None:
    readings = iter(0.05 * 1.02**i for i in range(1000))
    options = replace(OPTIONS, read_sentinel=lambda _: next(readings))
    found = compared(lab({1: 0.01, 2: 0.01}), options)
    assert "drift" in [d.kind for d in found.doubts]
    assert [t.sentinel_s for t in found.trials] == sorted(t.sentinel_s or 0 for t in found.trials)


def test_a_trial_is_short_unless_its_length_was_asked_for() -> None:
    made = lab({1: 0.01, 2: 0.02})
    asked = {"duration_s": 3.0, "min_samples": 50, "warmup_s": 1.0}
    compare({"A": FAST, "B": SLOW.replace(**asked)}, OPTIONS, made)
    lengths = {c.batch_size: (c.duration_s, c.min_samples, c.warmup_s) for c in made.measured}
    assert lengths == {1: (0.7, 10, 3.0), 2: (3.0, 50, 1.0)}
    assert not any(case.memory for case in made.measured)


@pytest.mark.parametrize("wrong", [{"resolution": 0.0}, {"slower_than": 1.5}, {"budget_s": 0.0}])
def test_a_question_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        CompareOptions(**wrong)  # type: ignore[arg-type]


def test_a_comparison_that_cannot_start_is_refused_before_any_trial() -> None:
    made = lab({1: 0.01})
    with pytest.raises(UsageError, match="nothing to compare"):
        compare({"A": FAST}, OPTIONS, made)
    with pytest.raises(UsageError, match="need"):
        compare({"A": FAST, "B": FAST.replace(instances=999)}, OPTIONS, made)
    assert made.measured == []


def test_records_that_cannot_be_stored_end_it() -> None:
    class Full(FakeLab):
        def measure(self, *_: Any, **__: Any) -> Any:
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="full"):
        compared(Full())


def test_from_python_sides_have_letters_and_records_go_into_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stores: list[Store] = []

    def fake(store: Store) -> FakeLab:
        stores.append(store)
        return lab({1: 0.01, 2: 0.02})

    monkeypatch.setattr(local, "LocalLab", fake)
    found = honed.compare.compare([FAST, SLOW], OPTIONS, store=f"sqlite:///{tmp_path}/records.db")
    assert [side.label for side in found.sides] == ["A", "B"]
    assert [store.url.database for store in stores] == [f"{tmp_path}/records.db"]


def test_a_metric_that_is_not_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="latncy") as raised:
        CompareOptions(metric="latncy")
    assert "latency" in raised.value.hint
