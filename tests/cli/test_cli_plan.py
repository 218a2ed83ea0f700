"""honed plan as users meet it, in this process: importing torch takes longer than planning."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_steps import prepare_here
from typer.testing import CliRunner

from honed.cli import app
from honed.compose import compose
from honed.errors import HonedError, UsageError
from honed.plan.deployment_records import engine_case

pytestmark = pytest.mark.engine

TINY = ("model=tiny-bert", "task=sequence-classification", "sequence_length=32")


@pytest.fixture(autouse=True)
def a_store_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "records.db"))


@dataclass(frozen=True)
class Done:
    """What a command left behind; `stderr` has the error as the command line tells it."""

    returncode: int
    stdout: str
    stderr: str


def honed(*words: str) -> Done:
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "160"})
    if isinstance(error := result.exception, HonedError):
        told = f"{result.stderr}{error.message} {error.hint}"
        return Done(2 if isinstance(error, UsageError) else 1, result.stdout, told)
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Done(result.exit_code, result.stdout, result.stderr)


def test_the_json_has_the_keys_that_scripts_rely_on() -> None:
    done = honed("plan", *TINY, "mode=train", "device=cuda:1GiB", "max_batch=true", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    kinds = ["weights", "gradients", "optimizer", "activations", "temporaries", "workspace"]
    assert list(found["by_kind"]) == kinds
    assert set(found["peak_at"]) >= {"op", "module"}
    assert found["fits"] is True
    assert found["max_batch"] > 100
    assert found["weights_bytes"] == 4 * found["parameters"] == 4 * 62_754
    peaks = [found[f"{stage}_peak_bytes"] for stage in ("requested", "allocated", "reserved")]
    assert peaks == sorted(peaks)
    assert sum(found["by_kind"].values()) <= peaks[0]


def test_a_person_reads_the_verdict_and_where_it_goes() -> None:
    done = honed("plan", *TINY, "device=cuda:600MiB", "mode=train")
    assert done.returncode == 0, done.stderr
    assert "fits" in done.stdout
    assert " reserved" in done.stdout
    assert "largest batch" in done.stdout
    assert "activations" in done.stdout
    small = honed("plan", *TINY, "device=cuda:513MiB")
    assert small.returncode == 1
    assert "does not fit" in small.stdout
    assert "the first allocation that fails" in small.stdout


def test_several_settings_are_one_table() -> None:
    done = honed("plan", *TINY, "mode=infer,train", "batch_size=1,4", "device=cpu")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "MiB" in line]
    assert len(rows) == 4


def test_a_grid_names_the_largest_batch_of_each_length() -> None:
    words = ("model=tiny-bert", "memory=600MiB", "mode=train", "--json")
    done = honed("plan", *words)
    assert done.returncode == 0, done.stderr
    grid = json.loads(done.stdout)
    assert [row["sequence_length"] for row in grid["rows"]] == [32, 64, 128]
    largest = [row["max_batch"]["batch_size"] for row in grid["rows"]]
    assert largest == sorted(largest, reverse=True)
    assert all(len(row["reserved_bytes"]) == len(grid["batch_sizes"]) for row in grid["rows"])


def test_what_does_not_fit_is_named_also_before_any_operator() -> None:
    small = honed("plan", *TINY, "device=cuda:512MiB")
    assert "for a weight, setup, with 0.0 MiB held" in small.stdout
    grid = honed("plan", *TINY, "memory=10MiB", "mode=infer")
    assert "the CUDA context takes all of it (context=0 leaves it out)" in grid.stdout


def test_verify_shows_predicted_beside_measured() -> None:
    done = honed("plan", *TINY, "mode=train", "device=cpu", "--verify", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["verification"]
    assert set(found["phases"]) == {"setup", "forward", "backward", "optimizer"} - {"setup"}
    for peaks in found["phases"].values():
        assert peaks["predicted_bytes"] == peaks["measured_bytes"]


def test_the_timeline_is_one_page_without_network(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    done = honed("plan", *TINY, "mode=infer,train", "--timeline", str(path))
    assert done.returncode == 0, done.stderr
    page = path.read_text()
    assert "bert.encoder.layer.1" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["device=tpu"], "no device is called 'tpu'"),
        (["device=cuda:0"], "cuda:16GiB, or cuda alone"),
        (["device=cuda:16 gallons"], "is no size of memory"),
        (["mode=trian"], "did you mean train"),
        (["optimiser=adamw"], "did you mean optimizer"),
        (["max_batch=true"], "device=cuda:16GiB"),
        (["precision=int8", "mode=train"], "precision=fp32 or bf16 or fp16"),
        (["backend=fake", "mode=train"], "does not plan backend=fake"),
        (["memory=1GiB", "device=cuda:2GiB"], "say the same"),
        (["sequence_length=4096"], "longer than the 128 positions"),
        (["sequence_length=64,4096", "memory=1GiB"], "longer than the 128 positions"),
        (["attention=flash"], "precision=bf16"),
        (["accumulation=0"], "accumulation=4"),
        (["cache=true"], "keeps no cache"),
        (["cache=true", "memory=1GiB"], "keeps no cache"),
        (["model=lm-small", "model.num_layers=2", "weights=lazy"], "weights=keep_embedding"),
        (["workload=train_step"], "mode=train"),
        (["memory=1GiB", "--timeline", "out.html"], "memory= asks for a grid"),
        (["backend=torch", "--timeline", "out.html"], "these words ask for a deployment"),
        (["memory=1GiB", "--verify"], "leave one of them out"),
    ],
)
def test_wrong_words_are_answered_with_what_to_type(words: list[str], says: str) -> None:
    done = honed("plan", "model=tiny-bert", *words)
    assert done.returncode in (1, 2)
    assert says in done.stderr


def test_a_deployment_is_planned_and_verified() -> None:
    """torch with int8 weights, which are packed into private memory. This process makes inputs and
    references, because it has imported torch already."""
    words = ("model=minilm", "backend=torch", "precision=int8", "threads=1", "batch_size=4",
             "duration_s=0.1", "warmup_s=0", "min_samples=1")  # fmt: skip
    (case,) = compose(words).cases
    for each in (case, engine_case(case)):
        prepare_here(each)
    done = honed("plan", *words, "--verify", "--json")
    assert done.returncode == 0, done.stderr
    found, verified = map(json.loads, done.stdout.splitlines())
    assert found["limit_bytes"] > found["least_bytes"] > found["allocated_peak_bytes"]
    assert found["parts"][0]["name"] == "interpreter and engine"
    private = verified["verification"]["private"]
    assert private["predicted_bytes"] == found["private_bytes"]
    assert private["predicted_bytes"] == pytest.approx(private["measured_bytes"], rel=0.1)
