"""What one study found begins the next one, and runs by name, with what differs said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from landscape import DIMENSIONS, ENGINES, Landscape, find, latency_s, question, space, stored
from records import make_record

from honed.errors import UsageError
from honed.models.tiny import write_tiny
from honed.record import Interval
from honed.store import open_store
from honed.study import Outcome, Setting
from honed.tune import api, profile
from honed.tune.build_space import build_space
from honed.tune.planner import View, exhaustive, in_stages

WORDS = ("backend=fake", "sequence_length=8")
BEST = Setting({"backend": "fake", "precision": "fp32", "fake.latency_us": 500})


@pytest.fixture
def model(tmp_path: Path) -> str:
    write_tiny(tmp_path / "model", 0)
    return str(tmp_path / "model")


@pytest.fixture
def store(tmp_path: Path, model: str) -> str:
    """A store with one profile of `model`."""
    url = str(tmp_path / "records.db")
    case = {"model": model, "backend": "fake", "sequence_length": 8, "fake.latency_us": 500}
    best = make_record(case)
    outcome = Outcome(
        study="old", objectives=("latency",), ended="trials", elapsed_s=9.0, trials=4, failed=0,
        default=best, best=best, point=BEST, gain=Interval(4.0, (3.9, 4.1)),
    )  # fmt: skip
    kept = profile.profile_of(outcome, [BEST])
    assert kept is not None
    with open_store(url) as opened:
        profile.keep(opened.url, kept)
    return url


def test_the_nearest_profile_begins_the_search(tmp_path: Path, store: str, model: str) -> None:
    words = [f"model={model}", *WORDS, "fake.latency_us=4000,500", "precision=fp32"]
    study = api.new(words, api.TuneOptions(store=store))
    assert study.question.extra["warm_from"] == "old"
    first = in_stages(View(study.question, study.space, [], 0.0))
    assert first is not None
    assert first.stage == "default"
    cold = api.new(words, api.TuneOptions(store=store, warm=False))
    assert "warm" not in cold.question.extra


def test_a_point_of_another_space_is_left_out(tmp_path: Path) -> None:
    own = space(question())
    able = {"backend": "openvino", "precision": "int8", "openvino.streams": 2}
    assert own.within(able) == able
    for unknown in (
        {"backend": "keras", "precision": "int8"},
        able | {"openvino.streams": 64},
        able | {"openvino.gone": 1},
    ):
        assert own.within(unknown) is None


def test_warm_points_come_after_the_default(tmp_path: Path) -> None:
    warm = {"backend": "openvino", "precision": "int8", "openvino.streams": 2}
    asked = dataclasses.replace(
        question("trials=2", "budget=10m", "sampler=tpe"),
        extra={"warm": [{"backend": "gone", "precision": "fp32"}, warm]},
    )
    with stored(tmp_path, asked) as (study, _):
        find(study, Landscape(latency_s))
        tried = study.trials()
    assert [t.stage for t in tried[:2]] == ["default", "warm"]
    assert tried[1].setting == warm


def test_best_by_name_by_model_and_the_newest(store: str, model: str) -> None:
    for name, words in (("old:best", []), ("best", []), ("best", [f"model={model}"])):
        found = api.named_case(name, words, store)
        assert found.case.get("fake.latency_us") == 500
        assert (found.study, found.differences) == ("old", ())
    told = api.named_case("best", ["sequence_length=16"], store)
    assert told.differences == ("sequence_length=8, here 16",)


def test_nothing_for_a_model_that_is_not_alike(store: str) -> None:
    with pytest.raises(UsageError, match="no study has found"):
        api.named_case("best", ["model=bert-base-uncased"], store)


def test_brute_force_tries_every_point_once(tmp_path: Path) -> None:
    asked = dataclasses.replace(question("budget=9h"), extra={"planner": "exhaustive"})
    own = space(asked, [d for d in DIMENSIONS if d.key in ("threads", "torch.mode", "allocator")])
    own = dataclasses.replace(own, branches=ENGINES[:2])
    bench = Landscape(latency_s)
    with stored(tmp_path, asked, own) as (study, _):
        view = View(asked, own, [], 0.0)
        settings = {s for b in own.branches for s in own.settings(b)}
        while (found := exhaustive(view)) is not None:
            trial = study.begin(found.setting, found.stage)
            latency_ms = 1e3 * bench.latency_s(study.space.case(found.setting))
            study.end(dataclasses.replace(trial, status="ok", values=(latency_ms,)))
            view = dataclasses.replace(view, trials=study.trials())
        tried = [t.setting for t in study.trials()]
    assert len(settings) == (3 * 3 + 3) * 3  # threads x torch.mode or alone, x allocator
    assert len(tried) == len(set(tried)) == len(settings)
    assert any("allocator=jemalloc" in setting.name for setting in tried)


def test_only_what_search_names_is_searched(model: str) -> None:
    found = build_space(
        question("backend=torch,onnxruntime", "precision=fp32", "search=threads,allocator")
    )
    assert {d.key for d in found.dimensions} <= {"threads", "allocator"}
    assert {b.backend for b in found.branches} == {"torch", "onnxruntime"}
    assert {b.key for b in build_space(question("search=threads")).branches} == {("torch", "fp32")}
    with pytest.raises(UsageError, match="nothing to search"):
        question("search=thread")


def test_again_asks_the_old_question_in_a_few_trials(store: str, model: str) -> None:
    words = [f"model={model}", *WORDS, "fake.latency_us=4000,500", "study=first", "trials=9"]
    first = api.new(words, api.TuneOptions(store=store, warm=False))
    with open_store(store) as opened:
        kept = dataclasses.replace(profile.profiles(opened.url)[0], study="first")
        profile.keep(opened.url, kept)
    second = api.again("first", [], api.TuneOptions(store=store))
    assert second.name != "first"
    assert second.question.trials == 8
    assert second.question.allowed == first.question.allowed
    assert second.question.extra["warm"] == [BEST]
    with pytest.raises(UsageError, match="another question"):
        api.again("first", ["batch_size=8"], api.TuneOptions(store=store))


@pytest.mark.parametrize(("words", "budget_s"), [((), None), (("budget=90s",), 90.0)])
def test_no_budget_ends_a_brute_force_unless_one_is_given(
    store: str, words: tuple[str, ...], budget_s: float | None
) -> None:
    options = api.TuneOptions(store, extra={"planner": "exhaustive"})
    study = api.new(["model=tiny", "backend=fake", *words], options)
    assert study.question.budget_s == budget_s
