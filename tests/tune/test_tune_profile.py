"""What a study found is found again: on this machine, on another, for a model that is alike."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from records import make_record

from honed import database
from honed.case import Case
from honed.errors import UsageError
from honed.models.tiny import write_tiny
from honed.plain import from_plain, to_plain
from honed.record import Interval
from honed.study import Outcome, Setting
from honed.tune import profile
from honed.tune.profile import Profile


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny(folder, 0)
    return str(folder)


@pytest.fixture
def url(tmp_path: Path) -> sa.URL:
    return database.parse(str(tmp_path / "records.db"))


def outcome(model: str, study: str = "s", **case: object) -> Outcome:
    best = make_record({"model": model, "backend": "fake", "sequence_length": 16, **case})
    return Outcome(
        study=study, objectives=("latency",), ended="budget", elapsed_s=60.0, trials=9, failed=0,
        default=best, best=best, point=Setting({"backend": "fake", "precision": "fp32"}),
        gain=Interval(4.0, (3.8, 4.2)),
    )  # fmt: skip


def made(model: str, study: str = "s", **case: object) -> Profile:
    found = profile.profile_of(
        outcome(model, study, **case),
        [Setting({"backend": "fake", "precision": "fp32", "threads": 1})],
    )
    assert found is not None
    return found


def test_json_both_ways(model: str) -> None:
    one = made(model)
    assert from_plain(Profile, json.loads(json.dumps(to_plain(one)))) == one


def test_nothing_recommended_nothing_kept(model: str) -> None:
    assert profile.profile_of(dataclasses.replace(outcome(model), best=None), []) is None


def test_kept_and_found_by_name_and_replaced(url: sa.URL, model: str) -> None:
    profile.keep(url, made(model, threads=1))
    profile.keep(url, made(model, threads=2))
    assert [p.case.threads for p in profile.profiles(url)] == [2]
    assert profile.named(url, "s").case.threads == 2


def test_an_unknown_study_names_the_nearest(url: sa.URL, model: str) -> None:
    with pytest.raises(UsageError, match="no study called"):
        profile.named(url, "s")
    profile.keep(url, made(model, "tiny-latency"))
    with pytest.raises(UsageError) as caught:
        profile.named(url, "tiny-latencey")
    assert "tiny-latency" in caught.value.hint


def test_reading_a_database_that_is_not_there_makes_none(url: sa.URL) -> None:
    assert profile.profiles(url) == []
    assert not Path(str(url.database)).exists()


def test_the_same_place_has_no_differences(model: str) -> None:
    one = made(model)
    assert profile.differences(one, one.case) == ()


def test_every_difference_is_named(model: str, tmp_path: Path) -> None:
    one = made(model)
    place = dataclasses.replace(
        one.place, cpu="Old CPU", cpus=96.0, hardware="0", versions={"oldengine": "1.0"}
    )
    write_tiny(tmp_path / "other", 5)
    case = one.case.replace(model=str(tmp_path / "other"), sequence_length=8)
    said = "\n".join(profile.differences(dataclasses.replace(one, place=place), case))
    for part in ("another model", "Old CPU", "96 effective cores", "oldengine 1.0, here none",
                 "sequence_length=16, here 8"):  # fmt: skip
        assert part in said


def test_hardware_that_differs_in_nothing_that_has_a_name(model: str) -> None:
    one = made(model)
    moved = dataclasses.replace(one, place=dataclasses.replace(one.place, hardware="other"))
    assert profile.differences(moved, one.case) == ("other hardware of the same name",)


def test_the_nearest_is_the_same_model_then_hardware_then_versions_then_length(
    url: sa.URL, model: str
) -> None:
    one = made(model, "same")
    here = one.place
    moved = dataclasses.replace(here, hardware="other")
    aged = dataclasses.replace(here, versions={"oldengine": "1.0"})
    other = dataclasses.replace(here, model_key="other")
    for name, place in (("other model", other), ("moved", moved), ("aged", aged)):
        profile.keep(url, dataclasses.replace(one, study=name, place=place))
    order = []
    for name in ("aged", "moved", "other model"):
        found = profile.nearest(url, one.case)
        assert found is not None
        order.append(found.study)
        with database.connect(url).begin() as connection:
            connection.execute(sa.text("delete from profiles where study = :s"), {"s": name})
    assert order == ["aged", "moved", "other model"]
    assert profile.nearest(url, one.case) is None
    profile.keep(url, made(model, "long", sequence_length=32))
    profile.keep(url, made(model, "short", sequence_length=20))
    found = profile.nearest(url, one.case)
    assert found is not None
    assert found.study == "short"


def test_a_model_of_another_shape_is_not_alike(url: sa.URL, model: str) -> None:
    one = made(model)
    place = dataclasses.replace(one.place, model_key="x", model_shape={"model_type": "other"})
    profile.keep(url, dataclasses.replace(one, place=place))
    assert profile.nearest(url, one.case) is None
    assert profile.nearest(url, Case(model="bert-base-uncased")) is None
