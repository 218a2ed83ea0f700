"""A study as its report draws it: all of its trials, its outcome, its own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from landscape import Landscape, ask, latency_s, session, stored

from honed.case import Case
from honed.errors import StoreError, UsageError
from honed.report.evidence import Evidence
from honed.report.figures.base import all_pictures
from honed.store import open_store
from honed.tune import drawing, importance
from honed.tune.trial import words


def failing(case: Case) -> str | None:
    return "crashed" if case.get("openvino.streams") == 4 else None


def test_facts_hold_every_trial_and_the_outcome(tmp_path: Path) -> None:
    asked = ask("limit=latency_p50_ms<=140", "sampler=tpe", "trials=14", "budget=10m")
    bench = Landscape(latency_s, failing)
    with stored(tmp_path, asked) as (study, _):
        found = session(study, bench).run()
        facts = drawing.facts(study, found)
        trials = study.trials()
    assert [t.number for t in facts.trials] == [t.number for t in trials]
    assert facts.goals[0].unit == "ms"
    assert facts.limits == ("latency_p50_ms<=140",)
    assert {t.status for t in facts.trials} == {t.status for t in trials}
    assert [t.ok for t in facts.trials] == [t.ok for t in trials]
    assert [t.feasible for t in facts.trials] == [t.feasible for t in trials]
    for trial in facts.trials:
        values = facts.whole(trial.setting)
        assert all(value in facts.axes[key].values for key, value in values.items())
        assert {"backend", "precision"} <= set(values)
        engine = values["backend"]
        assert all("." not in key or key.startswith(f"{engine}.") for key in values)
    assert facts.best is not None
    assert found.point is not None
    assert facts.best.setting.name == " ".join(words(found.point))
    assert facts.gain == found.gain
    assert facts.importances == found.importances
    assert len(facts.earned) == len(found.earned)

    evidence = Evidence(tuple(bench.records.values()), facts)
    pictures = {name for name, _ in all_pictures(evidence)}
    assert {"study_history", "study_gain", "study_parallel"} <= pictures


def test_a_study_that_has_not_ended_is_drawn_without_a_recommendation(tmp_path: Path) -> None:
    with stored(tmp_path, ask("sampler=tpe", "trials=6", "budget=10m")) as (study, _):
        session(study, Landscape(latency_s)).run()
        facts = drawing.facts(study, None)
        shares = importance.importances(study.space, study.trials())
    assert facts.best is None
    assert facts.earned == ()
    assert facts.headline == ""
    assert facts.importances == shares


def test_studies_are_found_by_name_or_as_the_last(tmp_path: Path) -> None:
    asked = ask("sampler=tpe", "trials=3", "budget=10m")
    with stored(tmp_path, asked) as (study, _):
        session(study, Landscape(latency_s)).run()
        url = study.url.render_as_string(hide_password=False)
    assert drawing.stored(asked.name, url).name == asked.name
    assert drawing.stored("last", url) == drawing.stored(asked.name, url)
    with pytest.raises(UsageError, match="no study is called 'other'"):
        drawing.stored("other", url)


def test_without_any_study_the_last_is_told_to_be_none(tmp_path: Path) -> None:
    url = str(tmp_path / "records.db")
    with pytest.raises(StoreError, match="no records in"):
        drawing.stored("last", url)
    assert list(tmp_path.iterdir()) == []
    open_store(url).close()
    with pytest.raises(UsageError, match="no study yet"):
        drawing.stored("last", url)
