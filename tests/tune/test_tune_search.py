"""The whole search on known landscapes: no engine, no clock of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from landscape import DIMENSIONS, ENGINES, Landscape, find, latency_s, question, space, stored
from records import failed_record

from honed.case import Case
from honed.errors import HonedError
from honed.experiment.policy import SEARCH
from honed.phase import Phase, ignore_phase
from honed.study import Outcome, Setting
from honed.tune import storage
from honed.tune.confirm import confirm
from honed.tune.context import StudyContext
from honed.tune.space import Dimension
from honed.tune.storage import ended


def searched(folder: Path, bench: Landscape, *words: str) -> Outcome:
    quick = () if any(w.startswith("sampler=") for w in words) else ("sampler=tpe",)
    with stored(folder, question(*words, *quick)) as (study, _):
        return find(study, bench)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_finds_the_best_branch_and_its_knobs(tmp_path: Path, sampler: str) -> None:
    bench = Landscape(latency_s)
    at = searched(tmp_path, bench, "objective=latency", "budget=10m", f"sampler={sampler}")
    knobs = {"openvino.streams": 2, "allocator": "jemalloc"}
    assert at.point is not None
    assert at.point.items() >= ({"backend": "openvino", "precision": "int8"} | knobs).items()
    expected = 0.15 / (0.114 / 3.4 * 0.9 * 0.94)
    assert at.gain.value == pytest.approx(expected, rel=0.02)
    assert at.gain.ci95 is not None
    assert at.gain.ci95[0] <= expected <= at.gain.ci95[1]
    assert bench.now_s <= 600


def test_the_gaussian_process_sees_limits_and_failures(tmp_path: Path) -> None:
    def failing(case: Case) -> str | None:
        return "crashed" if case.get("openvino.streams") == 4 else None

    asked = question("limit=latency_p50_ms<=31", "sampler=gp", "trials=14", "budget=10m")
    small = replace(space(asked), branches=ENGINES[:2])
    with stored(tmp_path, asked, small) as (study, _):
        at = find(study, Landscape(latency_s, failing))
    assert at.point is not None
    assert at.point["openvino.streams"] == 2


def test_trial_zero_is_out_of_the_box(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    searched(tmp_path, bench, "trials=3", "budget=2m")
    first = bench.measured[0]
    assert (first.backend, first.precision, first.threads, dict(first.knobs)) == (
        "torch", "fp32", None, {}
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_holds_its_budget_under_noise_and_exports(tmp_path: Path, seed: int) -> None:
    bench = Landscape(latency_s)
    bench.noise, bench.cost_s = 0.05, 5.0
    bench.export_s = {"openvino": 45.0, "onnxruntime": 20.0}
    at = searched(tmp_path, bench, "objective=latency", "budget=5m", f"seed={seed}")
    assert bench.now_s <= 300
    assert at.best is not None
    assert (at.best.case["backend"], at.best.case["precision"]) == ("openvino", "int8")
    assert at.gain.ci95 is not None


def test_a_knob_that_does_nothing_is_not_recommended(tmp_path: Path) -> None:
    def flat(case: Case) -> float:
        return 0.1 if case.backend == "torch" and case.precision == "fp32" else 0.05

    bench = Landscape(flat)
    bench.noise = 0.04
    at = searched(tmp_path, bench, "objective=latency", "budget=20m")
    assert at.point is not None
    assert set(at.point) <= {"backend", "precision"}


def test_an_engines_knob_races_against_the_setting_without_it(tmp_path: Path) -> None:
    """Nobody has tried that one: two trials are all there is."""
    plain = {"backend": "openvino", "precision": "int8", "threads": 2}

    def but_for_the_hint(case: Case) -> float:
        seconds = 0.1 if case.backend == "openvino" else 0.15
        seconds *= 0.4 if case.precision == "int8" else 1.0
        return seconds * (0.8 if case.threads == 2 else 1.0)

    bench = Landscape(but_for_the_hint)
    with stored(tmp_path, question("objective=latency", "budget=5m")) as (study, _):
        context = StudyContext(study, bench)
        for at in (study.space.default, {**plain, "openvino.hint": "latency"}):
            trial = study.begin(Setting(at), "expert")
            record = bench.measure(study.space.case(at))
            study.end(replace(ended(trial, record, study.question), elapsed_s=bench.cost_s))
        outcome = confirm(context, "trials")
    assert dict(outcome.point or {}) == plain
    expected = 1.5 / 0.4 / 0.8
    assert outcome.gain.value == pytest.approx(expected, rel=1e-3)  # calls spread by a thousandth


def test_failures_cost_time_and_never_end_the_search(tmp_path: Path) -> None:
    statuses = {"openvino": "crashed", "onnxruntime": "diverged"}

    def failing(case: Case) -> str | None:
        if case.get("torch.mode") == "compile":
            return "oom"
        return statuses.get(case.backend)

    at = searched(tmp_path, Landscape(latency_s, failing), "objective=latency", "budget=10m")
    assert at.failed >= 4
    assert at.point is not None
    assert at.point["backend"] == "torch"
    assert at.point["precision"] == "int8"


def test_what_diverges_or_is_unproven_cannot_win(tmp_path: Path) -> None:
    def failing(case: Case) -> str | None:
        return "unproven" if case.precision == "int8" else None

    at = searched(tmp_path, Landscape(latency_s, failing), "objective=latency", "budget=10m")
    assert at.point is not None
    assert at.point["precision"] != "int8"


def test_no_feasible_setting_names_the_nearest_limit(tmp_path: Path) -> None:
    at = searched(tmp_path, Landscape(latency_s), "limit=latency_p50_ms<=10", "budget=5m")
    assert at.best is None
    assert at.nearest is not None
    assert at.nearest.limit == "latency_p50_ms<=10"
    assert at.nearest.point["backend"] == "openvino"
    assert 1.5 < at.nearest.missed_by < 2.5


def test_a_memory_limit_excludes_the_fastest(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    bench.memory_mib = lambda case: 3000.0 if case.backend == "openvino" else 400.0
    at = searched(tmp_path, bench, "limit=memory_mib<=2000", "budget=10m")
    assert at.point is not None
    assert at.point["backend"] == "onnxruntime"


def test_a_limit_that_no_record_can_tell_ends_the_search_at_once(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    with pytest.raises(HonedError, match="forward_ms was not measured") as error:
        searched(tmp_path, bench, "limit=forward_ms<=50", "budget=5m")
    assert error.value.hint.startswith("honed show ")
    assert len(bench.measured) == 1


def test_a_limit_that_only_the_last_record_shows_to_be_missed_is_told(tmp_path: Path) -> None:
    def slower_when_measured_long(case: Case) -> float:
        is_long = case.duration_s > SEARCH.duration_s
        return latency_s(case) * (1.5 if is_long else 1.0)

    bench = Landscape(slower_when_measured_long)
    at = searched(tmp_path, bench, "limit=latency_p50_ms<=40", "budget=10m")
    assert at.point is not None
    assert f"{at.point.name} misses latency_p50_ms<=40 by " in at.note
    kept = Landscape(latency_s)
    (tmp_path / "kept").mkdir()
    assert searched(tmp_path / "kept", kept, "limit=latency_p50_ms<=40", "budget=10m").note == ""


def test_a_setting_whose_limit_is_unknown_is_not_recommended(tmp_path: Path) -> None:
    asked = question("limit=memory_mib<=500", "trials=4")
    with stored(tmp_path, asked) as (study, _):
        trial = study.begin(study.space.default, "default")
        record = Landscape(latency_s).measure(study.question.base.replace(memory=False))
        assert ended(trial, record, asked).status == "unproven"


def test_a_default_that_is_the_best_is_recommended(tmp_path: Path) -> None:
    bench = Landscape(lambda c: 0.1 if c.backend == "torch" and c.precision == "fp32" else 0.2)
    at = searched(tmp_path, bench, "budget=5m")
    assert dict(at.point or {}) == {"backend": "torch", "precision": "fp32"}
    assert at.gain.value == 1.0


def test_two_objectives_give_a_front(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    bench.memory_mib = lambda case: 3000.0 if case.backend == "openvino" else 400.0
    at = searched(tmp_path, bench, "objective=latency,memory", "budget=10m")
    engines = {p.point["backend"] for p in at.front}
    assert {"openvino", "onnxruntime"} <= engines
    by_latency = sorted(p.values for p in at.front)
    assert [m for _, m in by_latency] == sorted((m for _, m in by_latency), reverse=True)


def test_unlikely_engines_wait_for_the_others(tmp_path: Path) -> None:
    branches = tuple(replace(b, unlikely=b.backend == "onnxruntime") for b in ENGINES)
    asked = question("trials=80", "sampler=tpe")
    bench = Landscape(latency_s)
    with stored(tmp_path, asked, replace(space(asked), branches=branches)) as (study, _):
        find(study, bench)
        stages = [(t.stage, t.setting["backend"]) for t in study.trials()]
    sampled = [i for i, (stage, _) in enumerate(stages) if stage == "sampler"]
    late = [i for i, (_, backend) in enumerate(stages) if backend == "onnxruntime"]
    assert late
    assert min(late) > sampled[5]


def test_leaders_get_their_share_of_the_cores_before_weaker_precisions(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    with stored(tmp_path, question("objective=latency", "trials=8", "sampler=tpe")) as (study, _):
        find(study, bench)
        points = [t.setting for t in study.trials()]
    shares = [i for i, at in enumerate(points) if at.get("threads") == 2]
    weaker = [i for i, at in enumerate(points) if at["precision"] == "bf16"]
    assert shares
    assert not weaker or min(shares) < min(weaker)


def test_a_knob_nobody_had_time_for_proves_itself_or_goes(tmp_path: Path) -> None:
    def twenty(case: Case) -> float:
        return 0.02 if case.get("allocator") == "jemalloc" else 0.0201

    bench = Landscape(twenty)
    bench.noise = 0.01
    at = searched(tmp_path, bench, "budget=200s")
    assert at.point is not None
    assert "allocator" not in at.point


def test_small_gains_of_the_machine_are_tried_together(tmp_path: Path) -> None:
    """Neither knob gains the 2 % that one trial is believed for; one pair cannot be had."""

    def hundredths(case: Case) -> float:
        gain = {"jemalloc": 0.986, "tcmalloc": 0.985}.get(str(case.get("allocator")), 1.0)
        return 0.05 * gain * (0.987 if case.get("thp") == "always" else 1.0)

    def failing(case: Case) -> str | None:
        pair = (case.get("allocator"), case.get("thp"))
        return "unproven" if pair == ("tcmalloc", "always") else None

    asked = question("objective=latency", "trials=60", "sampler=tpe")
    allocators = next(d for d in DIMENSIONS if d.key == "allocator")
    small = space(asked, (allocators, Dimension("thp", (None, "always"), False, "polish")))
    with stored(tmp_path, asked, small) as (study, _):
        find(study, Landscape(hundredths, failing))
        tried = [(t.setting.get("allocator"), t.setting.get("thp")) for t in study.trials()]
    assert tried.index(("tcmalloc", "always")) < tried.index(("jemalloc", "always"))


def test_the_budget_is_used_for_a_narrow_interval(tmp_path: Path) -> None:
    """Noise that six processes cannot resolve, and a default whose first process took longer."""
    bench = Landscape(latency_s)
    bench.noise, bench.cost_s = 0.05, 4.0
    at = searched(tmp_path, bench, "budget=5m")
    assert 250 <= bench.now_s <= 300
    assert at.gain.ci95 is not None
    assert at.gain.ci95[1] / at.gain.ci95[0] < 1.35


def test_a_slow_setting_is_abandoned(tmp_path: Path) -> None:
    class Slow(Landscape):
        def measure(self, case, sweep=None, on_phase=ignore_phase):  # type: ignore[no-untyped-def]
            def slow(phase: Phase | None) -> None:
                on_phase(phase)
                if phase == Phase.MEASURING and case.get("torch.mode") == "compile":
                    self.now_s += 300
                    on_phase(None)

            return super().measure(case, sweep, slow)

    bench = Slow(latency_s, lambda c: "crashed" if c.backend != "torch" else None)
    with stored(tmp_path, question("trials=20", "sampler=tpe")) as (study, _):
        find(study, bench)
        slow = [t for t in study.trials() if t.setting.get("torch.mode") == "compile"]
    assert slow
    assert all(t.status == "timeout" and "cannot win" in t.message for t in slow)


def test_resumes_where_it_was_interrupted(tmp_path: Path) -> None:
    bench = Landscape(latency_s)
    bench.interrupt_after = 5
    with stored(tmp_path, question("budget=8m", "sampler=tpe")) as (study, url):
        assert find(study, bench).ended == "interrupted"
        assert [t.status for t in study.trials()].count("interrupted") == 1
    bench.interrupt_after = None
    again = storage.load(url, "test")
    at = find(again, bench)
    assert at.ended != "interrupted"
    points = [t.setting for t in again.trials() if t.stage == "expert" and t.ok]
    assert len(points) == len(set(points))
    assert again.outcome == at


def test_an_unknown_study_names_the_nearest(tmp_path: Path) -> None:
    with (
        stored(tmp_path, question()) as (_, url),
        pytest.raises(HonedError, match="no study is called") as error,
    ):
        storage.load(url, "tst")
    assert "test" in error.value.hint


def test_one_export_does_not_eat_the_search(tmp_path: Path) -> None:
    class Hung(Landscape):
        def measure(self, case, sweep=None, on_phase=ignore_phase):  # type: ignore[no-untyped-def]
            if case.backend == "onnxruntime":
                self.measured.append(case)
                began_s = self.now_s
                while self.now_s < began_s + 10_000:
                    self.now_s += 1.0  # a second at a time, as a parent follows its workers
                    try:
                        on_phase(None)
                    except HonedError as error:
                        return self._stored(failed_record(error.status, error.message), sweep)
            return super().measure(case, sweep, on_phase)

    bench = Hung(latency_s)
    at = searched(tmp_path, bench, "budget=5m")
    assert bench.now_s <= 300
    assert at.point is not None
    assert at.point["backend"] == "openvino"
