"""What scale says of known trials: faster, slower, tie, undecided, failed."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from records import failed_record, make_record

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.record import Record
from honed.report.scaling import draw
from honed.scale.findings import find, undecided
from honed.scale.sections import Section, Setting, sections
from honed.scale.trials import Trial, run

BASE = Case(model="m")


def section(name: str = "allocator", metric: str = "latency") -> Section:
    settings = (Setting("as it is", BASE), Setting("other", BASE.replace(batch_size=2)))
    return Section(name, "A title", "an axis", metric, settings)


def trials(ratio: float, noise: float, blocks: int = 7, **labels: str) -> list[Trial]:
    """`ratio` times faster, with noise inside blocks and a drift that whole blocks share."""
    rng = random.Random(1)
    found = []
    for block in range(blocks):
        mood = 1 + 0.3 * rng.random()
        for label, speed in (("as it is", 1.0), ("other", ratio)):
            p50_s = 0.02 * mood / speed * (1 + noise * rng.gauss(0, 1))
            record = make_record(BASE.to_json(), p50_s=p50_s, calls=30, seed=block)
            name = labels.get("section", "allocator")
            found.append(Trial(block, name, labels.get(label, label), record))
    return found


@pytest.mark.parametrize(
    ("ratio", "noise", "said"),
    [
        (1.10, 0.01, "other is faster by"),
        (0.90, 0.01, "other is slower by"),
        (1.00, 0.005, "other ties within 2%"),
        (1.01, 0.05, "other is undecided"),
    ],
)
def test_the_words_follow_the_interval(ratio: float, noise: float, said: str) -> None:
    finding = find(section(), trials(ratio, noise), resolution=0.02)
    assert finding.sentence.startswith(said)
    point = finding.points[1]
    assert point.ci95 is not None
    assert point.ci95[0] <= ratio * 1.02
    assert point.ci95[1] >= ratio * 0.98
    assert len(point.records) == 7


def test_two_blocks_are_too_few_to_say() -> None:
    finding = find(section(), trials(1.1, 0.01, blocks=2), resolution=0.02)
    assert "too few" in finding.sentence


def test_a_setting_that_fails_says_why() -> None:
    good = trials(1.1, 0.01)
    bad = [
        replace(t, record=failed_record("crashed", "it broke", "", BASE.to_json()))
        if t.label == "other"
        else t
        for t in good
    ]
    finding = find(section(), bad, resolution=0.02)
    assert "other: it broke" in finding.sentence


def test_sections_cover_cores_splits_and_what_can_be_preloaded() -> None:
    found = {s.name: s for s in sections(BASE, cores=6)}
    assert [s.case.threads for s in found["cores"].settings] == [1, 2, 4, 6]
    split = [
        (s.case.instances, s.case.threads, s.case.batch_size) for s in found["split"].settings
    ]
    assert split == [(1, 6, 8), (2, 3, 4), (4, 1, 2)]
    assert found["allocator"].settings[0].label == "as it is"
    assert {s.case.get("allocator") for s in found["allocator"].settings} >= {None, "jemalloc"}


def test_what_is_there_already_is_not_measured_twice() -> None:
    found = {s.name: s for s in sections(BASE, cores=2)}
    assert "glibc" not in {s.case.get("allocator") for s in found["allocator"].settings}


def test_one_core_has_nothing_to_scale() -> None:
    assert "cores" not in {s.name for s in sections(BASE, cores=1)}


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    from dataclasses import asdict

    finding = find(section(), trials(1.1, 0.01), resolution=0.02)
    path = draw(asdict(finding), tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_study_stores_each_record_once_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.scale import trials as room
    from honed.scale.study import study
    from honed.store import open_store

    def measured(case: Case) -> Record:
        speed = (case.threads or 1) * (1.2 if case.get("allocator") == "jemalloc" else 1.0)
        return make_record(case.to_json(), p50_s=0.01 / speed, calls=30)

    monkeypatch.setattr(room, "measure", measured)
    store = open_store(f"sqlite:///{tmp_path}/records.db")
    case = Case(model="tiny", backend="fake")
    findings = study([case], 0.01, 0.02, store, lambda _: None)
    assert {"allocator", "openmp"} <= {f.section for f in findings}
    ids = [r.id for r in store.list(limit=None)]
    assert len(ids) == len(set(ids))
    named = {i for f in findings for p in f.points for i in p.records}
    assert named <= set(ids)


def test_a_case_that_does_not_run_ends_it_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.scale import trials as room
    from honed.scale.study import study
    from honed.store import open_store

    def broken(case: Case) -> Record:
        return failed_record("unsupported", "no such model", "give a folder", case.to_json())

    monkeypatch.setattr(room, "measure", broken)
    store = open_store(f"sqlite:///{tmp_path}/records.db")
    with pytest.raises(HonedError, match="no such model"):
        study([BASE], 1, 0.02, store, lambda _: None)
    with pytest.raises(UsageError):
        study([BASE, BASE.replace(batch_size=2)], 1, 0.02, store, lambda _: None)


def fake_measure(
    monkeypatch: pytest.MonkeyPatch, speeds: dict[object, float], noisy: str = ""
) -> list[Case]:
    """Instead of processes: records as fast as `speeds` says of the allocator, noted in order.

    Processes of the allocator `noisy` differ by 5 %, those of the others by 0.2 %.
    """
    from honed.scale import trials as room

    rng, asked = random.Random(5), []

    def measured(case: Case) -> Record:
        asked.append(case)
        name = case.get("allocator")
        speed = speeds.get(name, 1.0) * (1 + (0.05 if name == noisy else 0.002) * rng.gauss(0, 1))
        return make_record(case.to_json(), p50_s=0.01 / speed, calls=30, seed=len(asked))

    monkeypatch.setattr(room, "measure", measured)
    return asked


def three() -> Section:
    settings = tuple(
        Setting(name or "as it is", BASE.replace(knobs={"allocator": name}))
        for name in (None, "jemalloc", "mimalloc")
    )
    return Section("allocator", "A title", "an axis", "latency", settings)


def ran(section: Section, budget_s: float) -> list[Trial]:
    found: list[Trial] = []
    for trial in run([section], budget_s, lambda s: undecided(s, found, 0.02), lambda _: None):
        found.append(trial)
    return found


def test_what_is_decided_is_measured_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """jemalloc is clearly faster; mimalloc's processes differ too much to say."""
    asked = fake_measure(monkeypatch, {"jemalloc": 1.2}, noisy="mimalloc")
    clock = iter(range(10**6))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    trials = ran(three(), budget_s=60)
    counts = Counter(c.get("allocator") for c in asked)
    assert counts["jemalloc"] < counts["mimalloc"] == counts[None]
    assert len(trials) == len(asked)


def test_it_ends_when_all_is_decided_however_much_budget_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_measure(monkeypatch, {"jemalloc": 1.2, "mimalloc": 1.0})
    finding = find(three(), ran(three(), budget_s=1e9), 0.02)
    assert [p.verdict for p in finding.points] == ["", "faster", "tie"]


def test_a_block_mirrors_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_measure(monkeypatch, {"jemalloc": 1.2})
    ran(three(), budget_s=0)
    names = [c.get("allocator") for c in asked]
    assert names[3:6] == names[:3][::-1]
    assert len(names) == 12  # two rounds, whatever the budget


def test_a_process_that_exported_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from honed.scale import trials as room

    fake_measure(monkeypatch, {})
    plain, seen = room.measure, []

    def exporting(case: Case) -> Record:
        record = plain(case)
        seen.append(record)
        assert record.metrics is not None
        build_s = 9.0 if len(seen) == 1 else 0.0
        return replace(record, metrics=replace(record.metrics, build_s=build_s))

    monkeypatch.setattr(room, "measure", exporting)
    trials = ran(three(), budget_s=0)
    assert len(seen) == len(trials) + 1
    assert seen[0].id not in {t.record.id for t in trials}


def test_intervals_are_honed_compares() -> None:
    """The same numbers, the same interval: a comparison's, turned from slowdown to speed."""
    from honed.statistics.paired import sequence

    shown = trials(1.1, 0.01)
    logs: dict[str, dict[int, float]] = {"as it is": {}, "other": {}}
    for t in shown:
        assert t.record.metrics is not None
        logs[t.label][t.block] = math.log(t.record.metrics.latency_s.p50)
    at = sequence([logs["other"][b] - logs["as it is"][b] for b in logs["other"]])
    point = find(section(), shown, 0.02).points[1]
    assert point.ci95 == pytest.approx((math.exp(-at.high), math.exp(-at.low)))
