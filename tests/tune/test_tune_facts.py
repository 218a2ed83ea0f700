"""What a report needs of a study: its trials, its axes, its outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from landscape import Landscape, find, latency_s, question, stored

from honed.case import Case
from honed.errors import StoreError, UsageError
from honed.report.evidence import Evidence
from honed.report.figures.base import all_pictures
from honed.store import open_store
from honed.tune import api, importance
from honed.tune.context import StudyContext
from honed.tune.search import search


def failing(case: Case) -> str | None:
    return "crashed" if case.get("openvino.streams") == 4 else None


def test_facts_hold_every_trial_and_the_outcome(tmp_path: Path) -> None:
    asked = question("limit=latency_p50_ms<=140", "sampler=tpe", "trials=14", "budget=10m")
    bench = Landscape(latency_s, failing)
    with stored(tmp_path, asked) as (study, _):
        found = find(study, bench)
        facts = api.facts(study)
        trials = study.trials()
    assert facts.trials == tuple(trials)
    assert facts.goals[0].unit == "ms"
    assert facts.limits == ("latency_p50_ms<=140",)
    assert {c.setting for c in facts.candidates} == {t.setting for t in trials if t.ok}
    for setting in {t.setting for t in trials}:
        whole, (engine, _) = facts.whole(setting), setting.branch
        assert all(value in facts.axes[key].values for key, value in whole.items())
        assert {"backend", "precision", "threads"} <= set(whole)
        assert all("." not in key or key.startswith(f"{engine}.") for key in whole)
    assert facts.best is not None
    assert found.point is not None
    assert facts.best.setting == found.point
    assert facts.default is not None
    assert {*facts.default.records, *facts.best.records} <= set(bench.records)
    assert facts.gain == found.gain
    told_apart = {k: v for k, v in found.importances.items() if v is not None}
    assert facts.importances == told_apart
    assert facts.steps == found.steps

    evidence = Evidence(tuple(bench.records.values()), facts)
    pictures = {name for name, _ in all_pictures(evidence)}
    assert {"study_history", "study_gain", "study_steps", "study_parallel"} <= pictures


def test_a_study_that_has_not_ended_is_drawn_without_a_recommendation(tmp_path: Path) -> None:
    with stored(tmp_path, question("sampler=tpe", "trials=6", "budget=10m")) as (study, _):
        search(StudyContext(study, Landscape(latency_s)))
        facts = api.facts(study)
        shares = importance.importances(study.space, study.trials())
    assert facts.best is None
    assert facts.steps == ()
    assert facts.headline == ""
    assert facts.importances == {k: v for k, v in shares.items() if v is not None}


def test_studies_are_found_by_name_or_as_the_last(tmp_path: Path) -> None:
    asked = question("sampler=tpe", "trials=3", "budget=10m")
    with stored(tmp_path, asked) as (study, _):
        find(study, Landscape(latency_s))
        url = study.url.render_as_string(hide_password=False)
    assert api.stored_facts(asked.name, url).name == asked.name
    assert api.stored_facts("last", url) == api.stored_facts(asked.name, url)
    with pytest.raises(UsageError, match="no study is called 'other'"):
        api.stored_facts("other", url)
    assert api.resumed("last", [], api.TuneOptions(url)).name == asked.name
    assert api.named_case("last:best", [], url).case == api.named_case(
        f"{asked.name}:best", [], url
    ).case  # fmt: skip
    with pytest.raises(StoreError) as caught:
        api.named_case(asked.name, [], url)
    assert caught.value.hint == f"{asked.name}:best or {asked.name}:default"


def test_a_study_that_has_ended_says_what_gives_it_more(tmp_path: Path) -> None:
    def why(*words: str) -> str:
        return api.why_ended(api.resumed("test", words, api.TuneOptions(url)))

    with stored(tmp_path, question("sampler=tpe", "trials=3")) as (study, _):
        url = study.url.render_as_string(hide_password=False)
        assert why() == ""
        find(study, Landscape(latency_s))
    assert "after 3 trials" in why()
    assert why("budget=1h") == why() == why("trials=2")
    assert "honed tune --resume test trials=6" in why()
    assert why("trials=6") == ""


def test_a_study_without_a_recommendation_has_no_best(tmp_path: Path) -> None:
    asked = question("sampler=tpe", "trials=2", "limit=latency_p50_ms<=1")
    with stored(tmp_path, asked) as (study, _):
        find(study, Landscape(latency_s))
        url = study.url.render_as_string(hide_password=False)
    with pytest.raises(UsageError, match="has no best") as caught:
        api.named_case("test:best", [], url)
    assert caught.value.hint == "honed tune show test"


def test_without_any_study_the_last_is_told_to_be_none(tmp_path: Path) -> None:
    url = str(tmp_path / "records.db")
    with pytest.raises(StoreError, match="no records in"):
        api.stored_facts("last", url)
    assert list(tmp_path.iterdir()) == []
    open_store(url).close()
    with pytest.raises(UsageError, match="no study yet"):
        api.stored_facts("last", url)
