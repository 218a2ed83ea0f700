"""Old records from a file beside new ones: what they can tell, and what they cannot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_lab import FakeLab
from records import failed_record, make_record

from honed.compare.baseline import compare_with, grouped, read
from honed.compare.say import sentence
from honed.compare.session import CompareOptions
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


OPTIONS = CompareOptions(seed=1, slower_than=0.05, read_sentinel=lambda _: 0.05)


def lab(time_s: float) -> FakeLab:
    """Processes that take `time_s` per call today."""
    return FakeLab(lambda _: time_s)


STEADY = (0.0100, 0.0101, 0.0099, 0.0100, 0.0102, 0.0100)


@pytest.mark.parametrize(
    ("time_s", "verdict"), [(0.0100, "not slower"), (0.0120, "slower"), (0.0080, "faster")]
)
def test_each_case_is_measured_as_often_as_the_file_has_it(
    file: Path, time_s: float, verdict: str
) -> None:
    today = lab(time_s)
    found = compare_with(written(file, old(STEADY)), [], OPTIONS, today)
    assert found.verdict == verdict
    assert len(today.measured) == len(STEADY)
    # As it was measured then, not shortened: unlike lengths would not compare.
    assert {c.duration_s for c in today.measured} == {5.0}
    assert [s.trials for s in found.sides] == [6, 6]
    assert found.sides[0].records == tuple(r.id for r in old(STEADY))
    assert "not_interleaved" in [d.kind for d in found.doubts]


def test_words_change_every_case(file: Path) -> None:
    today = lab(0.01)
    records = old(STEADY) + old(STEADY, 50, batch_size=2)
    found = compare_with(written(file, records), ["precision=bf16"], OPTIONS, today)
    assert {c.precision for c in today.measured} == {"bf16"}
    assert sorted({c.batch_size for c in today.measured}) == [1, 2]
    assert [s.differs for s in found.sides[:2]] == [{"precision": "fp32"}, {"precision": "bf16"}]
    assert len(found.contrasts) == 2
    assert "batch_size" not in found.contrasts[0].side  # the shape says it: 1x128, 2x128


def test_one_record_a_case_is_one_draw(file: Path) -> None:
    today = lab(0.02)
    found = compare_with(written(file, old([0.01])), [], OPTIONS, today)
    assert today.measured == []
    assert found.verdict == "undecided"
    assert "repeat honed run" in sentence(found.contrasts[0], found)
    # The same process twice is still one draw.
    assert compare_with(written(file, old([0.01]) * 5), [], OPTIONS, today).verdict == "undecided"


def test_another_machines_numbers_say_nothing(file: Path) -> None:
    today = lab(0.02)
    records = [make_record(FAKE, seed=i) for i in range(5)]
    found = compare_with(written(file, records), [], OPTIONS, today)
    assert (found.verdict, today.measured) == ("undecided", [])
    assert "another machine: Example CPU" in found.contrasts[0].reason


def test_wide_groups_are_undecided_and_ask_for_records(file: Path) -> None:
    today = lab(0.0105)
    found = compare_with(written(file, old((0.008, 0.012, 0.010, 0.011))), [], OPTIONS, today)
    assert found.verdict == "undecided"
    assert "more records of it in the file" in sentence(found.contrasts[0], found)


def test_the_budget_ends_it(file: Path) -> None:
    today = lab(0.01)
    today.tick_s = 0.001
    tiny = replace(OPTIONS, budget_s=1e-6)
    found = compare_with(written(file, old(STEADY)), [], tiny, today)
    assert (found.ended, found.verdict, today.measured) == ("budget", "undecided", [])
    today.tick_s = 0.0
    found = compare_with(written(file, old(STEADY)), [], replace(OPTIONS, budget_s=36.0), today)
    assert (found.ended, len(today.measured)) == ("budget", 4)


def test_a_failed_trial_ends_it(file: Path) -> None:
    today = lab(0.01)
    today.failing = lambda _: "oom"
    found = compare_with(written(file, old(STEADY)), [], OPTIONS, today)
    assert found.verdict == "failed"
    assert found.failure is not None
    assert found.failure.status == "oom"
    assert len(today.measured) == 1


def test_ctrl_c_keeps_the_records(file: Path) -> None:
    today = lab(0.01)
    today.interrupt_after = 3
    found = compare_with(written(file, old(STEADY)), [], OPTIONS, today)
    assert (found.ended, len(found.trials)) == ("interrupted", 3)
    assert set(today.sweeps.values()) == {found.sweep}


def test_false_alarms_of_the_whole_file_stay_rare() -> None:
    """Four Cases, three old processes each, nothing has changed: how often is any told apart?"""
    from honed.statistics.paired import ALPHA, Question, old_and_new

    rng, alarms, question = np.random.default_rng(0), 0, Question(0.001)
    for _ in range(500):
        draws = 0.03 * rng.standard_normal((4, 8))
        kinds = {question.answer(old_and_new(d[:3], d[3:], ALPHA / 4)) for d in draws}
        alarms += bool(kinds & {"faster", "slower"})
    assert alarms / 500 <= 0.06


def test_a_line_ends_at_a_line_feed_and_the_file_is_utf_8(file: Path) -> None:
    (record,) = old([0.01], inputs="./odd\u2028name-ö.txt")
    file.write_text(json.dumps(record.to_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    (found,), left_out = read(file)
    assert (found.id, found.case["inputs"], left_out) == (record.id, record.case["inputs"], 0)


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
