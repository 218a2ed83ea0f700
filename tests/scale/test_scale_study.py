"""What scale asks and answers, with the processes of a fake Lab."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_lab import FakeLab

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.report.scaling import draw
from honed.scale.findings import Finding
from honed.scale.sections import ScaleSetting, Section, sections
from honed.scale.study import (
    ScaleInterrupted,
    ScaleOptions,
    ScaleProgress,
    answer,
    study,
)
from honed.statistics.paired import sequence

BASE = Case(model="tiny", backend="fake")
BLOCK_S = 16.0  # of two settings


def section(name: str = "allocator", metric: str = "latency") -> Section:
    settings = (ScaleSetting("as it is", BASE), ScaleSetting("other", BASE.replace(batch_size=2)))
    return Section(name, "A title", "an axis", metric, settings)


def other_is(ratio: float, noise: float = 0.01) -> FakeLab:
    """`other` is `ratio` times as fast. Whole blocks are slower together by up to 30 %."""
    lab = FakeLab(lambda _: 0.0, noise)

    def latency_s(case: Case) -> float:
        slow = 1 + 0.3 * random.Random(int((lab.now_s - 1) // BLOCK_S)).random()
        return 0.02 * slow / (ratio if case.batch_size == 2 else 1.0)

    lab.latency_s = latency_s
    return lab


def answered(lab: FakeLab, *asked: Section, blocks: int = 8) -> Finding:
    options = ScaleOptions(budget_s=blocks * BLOCK_S, resolution=0.02)
    return answer(asked or [section()], options, lab).findings[0]


@pytest.mark.parametrize(
    ("ratio", "noise", "sentence"),
    [
        (1.10, 0.01, "other is faster by"),
        (0.90, 0.01, "other is slower by"),
        (1.00, 0.004, "other ties within 2%"),
        (1.01, 0.05, "other is undecided"),
    ],
)
def test_the_sentence_follows_the_interval(ratio: float, noise: float, sentence: str) -> None:
    finding = answered(other_is(ratio, noise))
    assert finding.sentence.startswith(sentence)
    point = finding.points[1]
    assert point.ci95 is not None
    assert point.ci95[0] <= ratio * 1.02
    assert point.ci95[1] >= ratio * 0.98
    assert 4 <= len(point.records) <= 8
    assert finding.points[0].ratio == 1.0


def test_four_blocks_are_measured_whatever_the_budget() -> None:
    lab = other_is(1.1)
    finding = answered(lab, blocks=0)
    assert len(lab.measured) == 8
    assert finding.points[1].ratio == pytest.approx(1.1, rel=0.05)


def test_too_few_blocks_give_no_interval() -> None:
    """The first setting fails after two blocks: two are too few to say."""
    lab = other_is(1.1)
    lab.failing = lambda case: "oom" if case.batch_size == 1 and len(lab.measured) > 4 else None
    finding = answered(lab)
    assert "too few" in finding.sentence
    assert finding.points[0].why == "as the test asked"


def test_a_setting_that_fails_says_why_and_is_not_tried_again() -> None:
    lab = other_is(1.1)
    lab.failing = lambda case: "crashed" if case.batch_size == 2 else None
    finding = answered(lab)
    assert "other: as the test asked" in finding.sentence
    assert Counter(case.batch_size for case in lab.measured)[2] == 1


def test_throughput_is_compared_where_the_section_says_so() -> None:
    """Twice the batch in the same time is twice the throughput, and more than the noise."""
    finding = answered(other_is(1.0), section("split", "throughput"))
    assert finding.points[1].ratio == pytest.approx(2.0, rel=0.05)
    assert finding.points[1].verdict == "faster"


def test_sections_cover_cores_splits_and_what_can_be_preloaded() -> None:
    found = {s.name: s for s in sections(BASE, cores=6)}
    assert [s.case.threads for s in found["cores"].settings] == [1, 2, 4, 6]
    split = [
        (s.case.instances, s.case.threads, s.case.batch_size) for s in found["split"].settings
    ]
    assert split == [(1, 6, 8), (2, 3, 4), (4, 1, 2)]
    assert found["allocator"].settings[0].label == "as it is"
    assert {s.case.get("allocator") for s in found["allocator"].settings} >= {None, "jemalloc"}


def test_the_default_value_is_not_measured_twice() -> None:
    found = {s.name: s for s in sections(BASE, cores=2)}
    assert "glibc" not in {s.case.get("allocator") for s in found["allocator"].settings}


def test_one_core_has_nothing_to_scale() -> None:
    assert "cores" not in {s.name for s in sections(BASE, cores=1)}


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    path = draw(answered(other_is(1.1)), tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_every_record_lies_under_the_studys_sweep() -> None:
    lab = FakeLab(lambda case: 0.01 / (case.threads or 1), 0.001)
    seen: list[ScaleProgress] = []
    scaling = study([BASE], ScaleOptions(0.01, 0.02, seen.append), lab)
    assert {"allocator", "openmp"} <= {f.section for f in scaling.findings}
    assert set(lab.sweeps.values()) == {scaling.sweep}
    named = {id for f in scaling.findings for p in f.points for id in p.records}
    assert named == set(lab.records)
    assert len(seen) == len(lab.measured)
    assert seen[0].block == 1
    assert ": " in seen[0].label


def test_a_case_of_two_sections_is_measured_once_per_block() -> None:
    lab = other_is(1.1)
    twice = section("first"), section("second")
    options = ScaleOptions(0.0, 0.02)
    first, second = answer(twice, options, lab).findings
    assert len(lab.measured) == 8
    assert first.points == second.points


def test_ctrl_c_keeps_every_record() -> None:
    lab = other_is(1.1)
    lab.interrupt_after = 5
    with pytest.raises(KeyboardInterrupt):
        answered(lab)
    assert [r.status for r in lab.records.values()] == ["ok"] * 5 + ["interrupted"]
    assert len(set(lab.sweeps.values())) == 1


def test_a_case_that_does_not_run_ends_it_with_the_reason() -> None:
    lab = FakeLab()
    lab.failing = lambda _: "unsupported"
    with pytest.raises(HonedError, match="plainest setting is unsupported: as the test") as raised:
        study([BASE], ScaleOptions(1, 0.02), lab)
    assert raised.value.hint == "fix it"
    with pytest.raises(UsageError):
        study([BASE, BASE.replace(batch_size=2)], ScaleOptions(1, 0.02), lab)


def three() -> Section:
    settings = tuple(
        ScaleSetting(name or "as it is", BASE.replace(knobs={"allocator": name}))
        for name in (None, "jemalloc", "mimalloc")
    )
    return Section("allocator", "A title", "an axis", "latency", settings)


def allocators(speeds: dict[object, float], noisy: str = "") -> FakeLab:
    """Processes of the allocator `noisy` differ by 5 %, those of the others by 0.2 %."""
    lab = FakeLab(lambda case: 0.01 / speeds.get(case.get("allocator"), 1.0))
    lab.noise = lambda case: 0.05 if case.get("allocator") == noisy else 0.002
    return lab


def names(lab: FakeLab) -> Sequence[object]:
    return [case.get("allocator") for case in lab.measured]


def test_a_decided_setting_is_measured_no_more() -> None:
    """jemalloc is clearly faster; the processes of mimalloc differ too much to say."""
    lab = allocators({"jemalloc": 1.2}, noisy="mimalloc")
    answered(lab, three(), blocks=20)
    counts = Counter(names(lab))
    assert counts["jemalloc"] < counts["mimalloc"] == counts[None]


def test_it_ends_when_all_is_decided_however_much_budget_is_left() -> None:
    lab = allocators({"jemalloc": 1.2, "mimalloc": 1.0})
    finding = answered(lab, three(), blocks=10**6)
    assert [p.verdict for p in finding.points] == ["", "faster", "tie"]
    assert lab.now_s < 1000


def test_a_block_mirrors_the_one_before() -> None:
    lab = allocators({"jemalloc": 1.2})
    answered(lab, three(), blocks=0)
    assert names(lab)[3:6] == names(lab)[:3][::-1]
    assert len(lab.measured) == 12


def test_a_process_that_exported_is_measured_again() -> None:
    lab = allocators({})
    lab.exports = lambda case: 1 if case.get("allocator") == "jemalloc" else 0
    finding = answered(lab, three(), blocks=0)
    assert len(lab.measured) == 13
    exported = {id for id, r in lab.records.items() if r.metrics and r.metrics.build_s > 0}
    assert len(exported) == 1
    assert not exported & {id for p in finding.points for id in p.records}


def test_intervals_are_those_of_honed_compare() -> None:
    """The same numbers, the same interval, turned from slowdown to speed."""
    lab = other_is(1.1)
    one, other = answered(lab).points
    logs = [
        [
            math.log(metrics.latency_s.p50)
            for id in p.records
            if (metrics := lab.records[id].metrics)
        ]
        for p in (one, other)
    ]
    at = sequence([b - a for a, b in zip(*logs, strict=True)])
    assert other.ci95 == pytest.approx((math.exp(-at.high), math.exp(-at.low)))


def five() -> list[Section]:
    """A section of two settings, and four with two further settings each."""
    return [
        Section(
            f"s{n}", f"Section {n}", "an axis", "latency",
            tuple(ScaleSetting(str(b), BASE.replace(batch_size=b)) for b in (1, 2 * n, 2 * n + 1)),
        )
        for n in range(1, 6)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("budget_s", "measured"), [(0, 1), (200, 1), (300, 2), (400, 4), (700, 5)]
)
def test_the_budget_is_kept_by_fewer_sections(budget_s: float, measured: int) -> None:
    lab = FakeLab(lambda case: 0.01 * case.batch_size, 0.01)  # 8 s for a process
    findings = answer(five(), ScaleOptions(budget_s, 0.02), lab).findings
    assert len(findings) == 5
    left_out = [f for f in findings if "longer than the budget" in f.sentence]
    assert [f.section for f in left_out] == [f"s{n}" for n in range(measured + 1, 6)]
    assert all(p.why == "not measured" for f in left_out for p in f.points)
    assert all(p.ratio for f in findings if f not in left_out for p in f.points[1:])
    assert lab.now_s <= max(budget_s, 4 * 3 * lab.cost_s)


def test_an_interrupt_tells_what_was_found_so_far() -> None:
    lab = other_is(1.2, noise=0.05)
    lab.interrupt_after = 9
    with pytest.raises(ScaleInterrupted) as stopped:
        answered(lab, section(), blocks=10**6)
    (finding,) = stopped.value.scaling.findings
    assert finding.sentence.startswith("other is undecided (")


def test_a_section_that_was_left_out_has_a_picture(tmp_path: Path) -> None:
    lab = FakeLab(lambda _: 0.01)
    *_, last = answer(five(), ScaleOptions(0, 0.02), lab).findings
    assert draw(last, tmp_path / "a.png").stat().st_size > 1000
