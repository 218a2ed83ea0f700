"""Studies and profiles that an earlier version stored: they open, and mean the same.

`stored_study.json` was written by the version before `honed/study.py` existed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from landscape import DIMENSIONS, ENGINES, question, space, stored

from honed.plain import from_plain, to_plain
from honed.study import Outcome, Setting
from honed.tune import api, storage
from honed.tune.profile import Profile

STORED: dict[str, Any] = json.loads((Path(__file__).parent / "stored_study.json").read_text())


# What each key earned alone; `steps` are told instead.
GONE = ("earned",)


def without_newer_keys(plain: Any, earlier: Any) -> Any:
    """`plain` with those keys of its objects that the earlier version wrote, too."""
    if isinstance(plain, dict) and isinstance(earlier, dict):
        return {k: without_newer_keys(v, earlier[k]) for k, v in plain.items() if k in earlier}
    if isinstance(plain, list) and isinstance(earlier, list) and len(plain) == len(earlier):
        return [without_newer_keys(*pair) for pair in zip(plain, earlier, strict=True)]
    return plain


@pytest.mark.parametrize("name", ["outcome", "without_recommendation"])
def test_an_outcome_has_the_same_json(name: str) -> None:
    stored = {k: v for k, v in STORED[name].items() if k not in GONE}
    plain = to_plain(from_plain(Outcome, STORED[name]))
    assert without_newer_keys(plain, stored) == stored
    assert plain["steps"] == []


def test_a_profile_has_the_same_json() -> None:
    plain = to_plain(from_plain(Profile, STORED["profile"]))
    assert without_newer_keys(plain, STORED["profile"]) == STORED["profile"]


def test_a_study_opens_with_all_its_trials(tmp_path: Path) -> None:
    first = question("objective=latency,memory", "budget=10m", "sampler=random")
    with stored(tmp_path, first) as (study, url):
        attributes = {key: json.loads(text) for key, text in study._inner.user_attrs.items()}
        earlier = {"ask": STORED["ask"], "space": STORED["space"]}
        assert without_newer_keys(attributes, earlier) == earlier
        for number, trial in enumerate(STORED["trials"]):
            assert study.begin(Setting(trial["point"]), trial["stage"]).number == number
            study._inner._storage.set_trial_user_attr(
                study._inner.trials[number]._trial_id, "honed", trial
            )
        study._inner.set_user_attr("outcome", json.dumps(STORED["outcome"]))
        opened = storage.load(url, "test")
    assert opened.question == first
    assert opened.space == space(first)
    assert (opened.space.branches, opened.space.dimensions) == (ENGINES, DIMENSIONS)
    for trial, old in zip(opened.trials(), STORED["trials"], strict=True):
        assert (trial.setting, trial.stage, trial.status, trial.record, trial.elapsed_s) == (
            old["point"], old["stage"], old["status"], old["record"], old["elapsed_s"]
        )  # fmt: skip
        assert (list(trial.values), trial.violations) == (old["values"], old["violations"])
    assert opened.outcome is not None
    assert opened.outcome.point == STORED["outcome"]["point"]
    facts = api.facts(opened)
    assert facts.gain == opened.outcome.gain
    assert facts.best is not None
