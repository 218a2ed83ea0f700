"""Old records from a file beside new ones: what they can tell, and what they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import failed_record, make_record

from honed.case import Case
from honed.compare import session
from honed.compare.baseline import compare_with, grouped, read
from honed.compare.say import sentence
from honed.compare.session import How
from honed.errors import UsageError
from honed.machine.facts import machine_facts
from honed.record import Record

FAKE: dict[str, Any] = {"model": "tiny", "backend": "fake"}


def old(times_s: Sequence[float], first_seed: int = 0, **case: Any) -> list[Record]:
    return [
        make_record({**FAKE, **case}, p50_s=t, seed=first_seed + i, machine=machine_facts())
        for i, t in enumerate(times_s)
    ]


def written(path: Path, records: Sequence[Record]) -> Path:
    path.write_text("".join(json.dumps(r.to_json()) + "\n" for r in records))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "main.jsonl"


@pytest.fixture
def how(tmp_path: Path) -> How:
    return How(store=f"sqlite:///{tmp_path}/records.db", seed=1, slower_than=0.05)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[Case]]:
    """Processes that take `time_s` per call today; returns the Cases measured."""

    def install(time_s: float) -> list[Case]:
        rng, measured = np.random.default_rng(0), list[Case]()

        def measure(case: Case, _: Any) -> Record:
            measured.append(case)
            p50_s = time_s * float(np.exp(0.01 * rng.standard_normal()))
            return make_record(case.to_json(), p50_s=p50_s, seed=1000 + len(measured))

        monkeypatch.setattr(session, "measure", measure)
        monkeypatch.setattr(session.sentinel, "read", lambda _=(): 0.05)
        return measured

    return install


STEADY = (0.0100, 0.0101, 0.0099, 0.0100, 0.0102, 0.0100)


@pytest.mark.parametrize(
    ("time_s", "verdict"), [(0.0100, "not slower"), (0.0120, "slower"), (0.0080, "faster")]
)
def test_each_case_is_measured_as_often_as_the_file_has_it(
    file: Path, how: How, now: Callable[[float], list[Case]], time_s: float, verdict: str
) -> None:
    measured = now(time_s)
    found = compare_with(written(file, old(STEADY)), [], how)
    assert found.verdict == verdict
    assert len(measured) == len(STEADY)
    # As it was measured then, not shortened: unlike lengths would not compare.
    assert {c.duration_s for c in measured} == {5.0}
    assert [s.trials for s in found.sides] == [6, 6]
    assert found.sides[0].records == tuple(r.id for r in old(STEADY))
    assert "not_interleaved" in [d.kind for d in found.doubts]


def test_words_change_every_case(file: Path, how: How, now: Callable[[float], list[Case]]) -> None:
    measured = now(0.01)
    records = old(STEADY) + old(STEADY, 50, batch_size=2)
    found = compare_with(written(file, records), ["precision=bf16"], how)
    assert {c.precision for c in measured} == {"bf16"}
    assert sorted({c.batch_size for c in measured}) == [1, 2]
    assert [s.differs for s in found.sides[:2]] == [{"precision": "fp32"}, {"precision": "bf16"}]
    assert len(found.contrasts) == 2
    assert "batch_size" not in found.contrasts[0].side  # the shape says it: 1x128, 2x128


def test_one_record_a_case_is_one_draw(
    file: Path, how: How, now: Callable[[float], list[Case]]
) -> None:
    measured = now(0.02)
    found = compare_with(written(file, old([0.01])), [], how)
    assert measured == []
    assert found.verdict == "undecided"
    assert "repeat honed run" in sentence(found.contrasts[0], found)
    # The same process twice is still one draw.
    assert compare_with(written(file, old([0.01]) * 5), [], how).verdict == "undecided"


def test_another_machines_numbers_say_nothing(
    file: Path, how: How, now: Callable[[float], list[Case]]
) -> None:
    measured = now(0.02)
    records = [make_record(FAKE, seed=i) for i in range(5)]
    found = compare_with(written(file, records), [], how)
    assert (found.verdict, measured) == ("undecided", [])
    assert "another machine: Example CPU" in found.contrasts[0].reason


def test_wide_groups_are_undecided_and_ask_for_records(
    file: Path, how: How, now: Callable[[float], list[Case]]
) -> None:
    now(0.0105)
    found = compare_with(written(file, old((0.008, 0.012, 0.010, 0.011))), [], how)
    assert found.verdict == "undecided"
    assert "more records of it in the file" in sentence(found.contrasts[0], found)


def test_the_budget_ends_it(file: Path, how: How, now: Callable[[float], list[Case]]) -> None:
    measured = now(0.01)
    tiny = How(store=how.store, seed=1, budget_s=1e-6, slower_than=0.05)
    found = compare_with(written(file, old(STEADY)), [], tiny)
    assert (found.ended, found.verdict, measured) == ("budget", "undecided", [])


def test_a_failed_trial_ends_it(file: Path, how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        session, "measure", lambda c, _: failed_record("oom", "no room", case=c.to_json())
    )
    found = compare_with(written(file, old(STEADY)), [], how)
    assert found.verdict == "failed"
    assert found.failure is not None
    assert found.failure.status == "oom"


def test_false_alarms_of_the_whole_file_stay_rare() -> None:
    """Four Cases, three old processes each, nothing has changed: how often is any told apart?"""
    from honed.statistics.paired import ALPHA, Question, old_and_new

    rng, alarms, question = np.random.default_rng(0), 0, Question(0.001)
    for _ in range(500):
        draws = 0.03 * rng.standard_normal((4, 8))
        kinds = {question.answer(old_and_new(d[:3], d[3:], ALPHA / 4)) for d in draws}
        alarms += bool(kinds & {"faster", "slower"})
    assert alarms / 500 <= 0.06


def test_files_that_hold_nothing_of_use(file: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read(file.with_name("nowhere.jsonl"))
    file.write_text("")
    with pytest.raises(UsageError, match="no finished record"):
        read(file)
    file.write_text(json.dumps(make_record().to_json()) + "\n{broken\n")
    with pytest.raises(UsageError, match="line 2"):
        read(file)
    file.write_text("[1]\n")
    with pytest.raises(UsageError, match="line 1"):
        read(file)
    records, left_out = read(written(file, [*old([0.01]), failed_record("oom", "no room")]))
    assert (len(records), left_out) == (1, 1)


def test_cases_of_a_file_are_kept_apart_and_cannot_be_swept() -> None:
    groups = grouped(old([0.01, 0.02]) + old([0.03], 9, batch_size=2), [])
    assert [len(g.records) for g in groups] == [2, 1]
    assert len({g.label for g in groups}) == 2
    with pytest.raises(UsageError, match="once"):
        grouped(old([0.01]), ["batch_size=1,2"])
