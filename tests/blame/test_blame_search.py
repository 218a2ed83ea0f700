"""The search for the slow release, on releases whose speed the test decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fake_lab import FakeLab

from honed.blame.outcome import Blame
from honed.blame.releases import Releases
from honed.blame.say import headline
from honed.blame.search import BlameOptions, Interrupted, blame
from honed.case import Case
from honed.environments.installer import InstallError
from honed.errors import HonedError, UsageError
from honed.experiment.draw import Metric
from honed.show.blame import blame_markdown

CASE = Case("tiny", backend="fake")
VERSIONS = tuple(f"1.{minor}" for minor in range(12))
OPTIONS = BlameOptions(seed=1, budget_s=7200, read_sentinel=lambda _: 0.05)


def lab_of(slowdowns: Mapping[str, float], noise: float = 0.005) -> FakeLab:
    """Each release of `slowdowns` is slower than the one before it by that factor."""
    times_s, now_s = {}, 0.01
    for version in VERSIONS:
        now_s *= slowdowns.get(version, 1.0)
        times_s[f"env-{version}"] = now_s
    return FakeLab(lambda case: times_s[str(case.python)], noise)


def searched(lab: FakeLab, options: BlameOptions = OPTIONS, broken: tuple[str, ...] = ()) -> Blame:
    def prepare(version: str) -> str:
        if version in broken:
            raise InstallError(f"no wheel of {version}", "another Python")
        return f"env-{version}"

    return blame(CASE, Releases("engine", VERSIONS), prepare, options, lab)


@pytest.mark.parametrize("guilty", ["1.1", "1.5", "1.6", "1.11"])
def test_the_release_is_found_with_an_interval_of_processes_of_its_own(guilty: str) -> None:
    lab = lab_of({guilty: 1.07})
    found = searched(lab)
    before = VERSIONS[VERSIONS.index(guilty) - 1]
    assert (found.ended, found.before, found.guilty) == ("found", before, guilty)
    assert found.ratio.ci95 is not None
    assert found.ratio.ci95[0] < 1.07 < found.ratio.ci95[1]
    last = found.looks[-1]
    assert (last.role, last.older, last.newer) == ("confirming", before, guilty)
    assert len({look.sweep for look in found.looks}) == len(found.looks)  # no process counts twice
    assert len(found.looks) <= 6  # the ends, four halvings of eleven steps, the confirmation
    said = headline(found)
    assert said.startswith(f"engine {guilty} is slower than {before} by ")
    assert "95 % interval" in said
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["guilty"] == guilty


@pytest.mark.parametrize("metric", ["latency", "throughput"])
def test_a_release_that_is_many_times_slower_is_found(metric: Metric) -> None:
    options = BlameOptions(metric, seed=1, budget_s=7200, read_sentinel=lambda _: 0.05)
    found = searched(lab_of({"1.5": 9.0}), options)
    assert (found.ended, found.guilty, found.skipped) == ("found", "1.5", ())


def test_of_two_slow_releases_the_larger_is_found() -> None:
    found = searched(lab_of({"1.3": 1.02, "1.9": 1.10}))
    assert (found.ended, found.guilty) == ("found", "1.9")
    assert found.ratio.value == pytest.approx(1.10, rel=0.02)
    assert found.whole.value == pytest.approx(1.122, rel=0.02)


def test_releases_that_are_alike_or_faster_blame_nobody() -> None:
    for slowdowns in ({}, {"1.4": 0.9}):
        found = searched(lab_of(slowdowns))
        assert (found.ended, found.guilty, len(found.looks)) == ("not slower", None, 1)
        assert "1.11 is not slower than 1.0" in headline(found)


def test_two_equal_slowdowns_leave_the_range_and_say_why() -> None:
    found = searched(lab_of({"1.3": 1.1, "1.9": 1.1}))
    assert found.ended == "undecided"
    assert (found.before, found.guilty) == ("1.0", "1.11")
    assert "more than one release made it slower" in headline(found)


def test_a_release_that_cannot_be_installed_or_run_is_skipped() -> None:
    lab = lab_of({"1.8": 1.07})
    lab.failing = lambda case: "crashed" if case.python == "env-1.6" else None
    found = searched(lab, broken=("1.5",))
    assert (found.ended, found.guilty) == ("found", "1.8")
    assert {s.version for s in found.skipped} == {"1.5", "1.6"}
    assert "- skipped 1.5: no wheel of 1.5" in blame_markdown(found)


def test_where_the_neighbour_is_skipped_nobody_is_blamed_for_certain() -> None:
    found = searched(lab_of({"1.5": 1.07}), broken=("1.5",))
    assert (found.ended, found.before, found.guilty) == ("undecided", "1.4", "1.6")
    assert "1.5 could not be measured" in headline(found)


def test_what_cannot_be_asked_is_refused_before_an_environment_is_made() -> None:
    def prepare(version: str) -> str:
        raise AssertionError(f"the environment of {version} was made")

    releases = Releases("engine", VERSIONS)
    with pytest.raises(UsageError, match="need"):
        blame(CASE.replace(instances=999), releases, prepare, OPTIONS, lab_of({}))
    for wrong in ({"metric": "latncy"}, {"resolution": 2.0}, {"budget_s": 0.0}):
        with pytest.raises(UsageError):
            BlameOptions(**wrong)  # type: ignore[arg-type]


def test_an_end_without_a_result_is_an_error() -> None:
    lab = lab_of({})
    lab.failing = lambda case: "oom" if case.python == "env-1.11" else None
    with pytest.raises(HonedError, match=r"1\.11: oom"):
        searched(lab)
    with pytest.raises(InstallError):
        searched(lab_of({}), broken=("1.0",))


def test_a_spent_budget_is_undecided_and_ctrl_c_keeps_what_was_found() -> None:
    options = BlameOptions(seed=1, budget_s=60, read_sentinel=lambda _: 0.05)
    short = searched(lab_of({"1.5": 1.03}, noise=0.05), options)
    assert short.ended == "undecided"
    assert "undecided whether 1.11 is slower" in headline(short)
    lab = lab_of({"1.5": 1.07})
    lab.interrupt_after = 14
    with pytest.raises(Interrupted) as stopped:
        searched(lab)
    assert stopped.value.blame.ended == "interrupted"
    assert len(stopped.value.blame.looks) >= 1


def test_throughput_is_blamed_by_sequences_per_second() -> None:
    found = searched(lab_of({"1.5": 1.07}), BlameOptions(
        "throughput", seed=1, budget_s=7200, read_sentinel=lambda _: 0.05
    ))  # fmt: skip
    assert found.guilty == "1.5"
    assert found.ratio.value == pytest.approx(1 / 1.07, rel=0.02)
    assert "throughput is lower" in headline(found)


def test_markdown_html_and_frame_have_a_row_for_each_comparison() -> None:
    found: Any = searched(lab_of({"1.5": 1.07}))
    text = blame_markdown(found)
    assert text.startswith("**engine 1.5 is slower than 1.4")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(found.looks) + 2
    assert found._repr_html_().count("<tr>") == len(found.looks) + 1
    assert list(found.to_frame()["question"]) == [look.role for look in found.looks]
