"""honed tune: from words to a recommendation, with the fake engine; one real engine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import honed
from honed.cli import app
from honed.store import open_store

QUICK = ("duration_s=0.05", "warmup_s=0.05", "min_samples=3")
MACHINE = ("allocator", "openmp", "thp", "omp_wait", "omp_affinity", "blocktime_ms",
           "malloc_arenas", "numa", "smt")  # fmt: skip
FAKE = ("model=tiny", "backend=fake", "sequence_length=8", *QUICK)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = str(tmp_path / "records.db")
    monkeypatch.setenv("HONED_STORE", url)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # with a lock of its own
    return url


def test_finds_the_faster_fake_and_runs_from_it(store: str) -> None:
    words = ["tune", *FAKE, "study=s", "precision=fp32", "fake.latency_us=4000,500", "trials=3",
             "threads=1", "fake.fail=null", "fake.build=null", "budget=45s"]  # fmt: skip
    for key in MACHINE:
        words.append(f"{key}=null")
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    *trials, last = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
    assert trials[0]["stage"] == "default"
    assert trials[0]["point"] == {"backend": "fake", "precision": "fp32"}
    assert last["study"] == "s"
    assert last["point"]["fake.latency_us"] == 500
    assert last["gain"]["value"] > 3
    assert last["default"]["case"]["fake.latency_us"] == 4000
    (step,) = last["steps"]
    assert set(step) == {"key", "value", "gain", "source"}
    assert (step["key"], step["value"]) == ("fake.latency_us", 500)
    assert step["gain"] == last["gain"]
    assert {"study", "default", "best", "gain", "importances"} <= set(last)
    with open_store(store) as opened:
        listed = {r.id for r in opened.list(limit=None, where={"sweep": "s"})}
    decisive = {*last["default_pooled"]["records"], *last["best_pooled"]["records"]}
    assert decisive | {t["record"] for t in trials} <= listed

    shown = CliRunner().invoke(app, ["tune", "show", "s"])
    assert shown.exit_code == 0
    assert "fake.latency_us=500" in shown.stdout
    assert "4000 → 500" in shown.stdout
    assert "all steps" in shown.stdout
    assert "honed run" in shown.stdout

    ran = CliRunner().invoke(app, ["run", "--from", "s:best", "--json", "memory=false"])
    assert ran.exit_code == 0, ran.output
    record = json.loads([r for r in ran.stdout.splitlines() if r[:1] == "{"][-1])
    assert record["case"]["fake.latency_us"] == 500


@pytest.mark.parametrize(
    ("rule", "status"),
    [("max_neighbour_drift=0.01%", "diverged"), ("limit=neighbour_cosine_min>=0.9999", "ok")],
)
def test_a_setting_that_drifts_with_its_neighbours_is_not_recommended(
    store: str, rule: str, status: str
) -> None:
    words = ["tune", *FAKE, "study=s", "precision=int8", "batch_size=4", rule, "trials=4",
             "threads=1", "instances=1", "fake.drift_percent=0,10", "budget=20s"]  # fmt: skip
    for key in (*MACHINE, "fake.fail", "fake.build", "fake.noise_percent", "fake.latency_us",
                "fake.allocate_kib"):  # fmt: skip
        words.append(f"{key}=null")
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    *trials, last = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
    drifting = [trial for trial in trials if trial["point"].get("fake.drift_percent") == 10]
    assert {trial["status"] for trial in drifting} == {status}
    for trial in drifting:
        assert status == "diverged" or trial["violations"]["neighbour_cosine_min>=0.9999"] > 0
    assert last["point"].get("fake.drift_percent", 0) == 0


def test_wrong_words_say_which_are_right(store: str) -> None:
    for words, said in (
        (["tune", "model=tiny", "backend=fake", "objective=speed"], "no objective"),
        (["tune", "show", "nothing"], "no study"),
        (["tune", "show", "one", "two"], "takes one study"),
        (["tune", "--resume", "one", "--again", "two"], "--again is a new one"),
        (["tune", "--resume", "one", "--brute-force"], "--brute-force is for a new study"),
        (["tune", "model=./nowhere"], ""),
        (["run", "--from", "nothing:best"], "no study"),
    ):
        done = CliRunner().invoke(app, words)
        assert isinstance(done.exception, honed.HonedError)
        assert said in done.exception.message


@pytest.mark.engine
def test_tunes_a_real_engine(store: str) -> None:
    words = [
        "model=tiny-bert",
        "backend=torch",
        "precision=fp32,bf16",
        "sequence_length=16",
        *QUICK,
    ]
    at = honed.tune(*words, trials=2, budget="100s", study="real", store=store)
    assert at.trials >= 2
    assert at.default is not None
    assert at.default.ok
    assert at.best is not None
    assert at.gain.value is not None
