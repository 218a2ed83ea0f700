"""honed run, serve and tune open a delivered folder: it brings its engine's files and settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import _bare_environment
from honed.case import Case
from honed.compose import compose
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.errors import ModelError, UsageError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.models.tiny import write_tiny
from honed.phase import ignore_phase
from honed.record import Record
from honed.run.parent import measure
from honed.tune import api

QUICK = ("duration_s=0.2", "warmup_s=0.2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Delivered files of the fake engine, for batches of 2 x 8 in bf16."""
    folder = tmp_path_factory.mktemp("fake") / "deployed"
    case = Case(
        model="tiny", backend="fake", precision="bf16", batch_size=2, sequence_length=8,
        threads=1, knobs={"fake.build": "ok", "fake.latency_us": 300},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "ROUNDS", 0)
        patch.setattr(verify, "CALLS_S", 0.1)
        write.export(case, None, folder, ignore_phase)
    return folder


def case_of(folder: Path, *words: str) -> Case:
    (case,) = compose([f"model={folder}", *words]).cases
    return case


def run(folder: Path, *words: str) -> Record:
    return measure(case_of(folder, *QUICK, *words))


def test_a_case_takes_the_settings_of_the_folder_and_typed_words_go_before_them(
    folder: Path,
) -> None:
    case = case_of(folder)
    assert (case.backend, case.precision, case.threads) == ("fake", "bf16", 1)
    assert (case.batch_size, case.sequence_length) == (2, 8)
    assert case.get("fake.latency_us") == 300
    case = case_of(folder, "batch_size=4", "fake.latency_us=500", "fake.build=null")
    assert (case.batch_size, case.get("fake.latency_us")) == (4, 500)
    assert case.get("fake.build") is None


def test_a_setting_that_another_word_replaces_is_not_taken(folder: Path) -> None:
    assert case_of(folder, "lengths=4..16").sequence_length == 16
    assert case_of(folder, "total_batch=6").batch_size == 6
    assert case_of(folder, "sizes=1+2").instances == 2


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"instances": 2}, "2 processes at once, each on an equal share of the cores: start"),
        ({"instances": 2, "threads": 1}, "2 processes at once, each on 1 core of its own: start"),
        ({"sizes": "1+2", "oversubscribe": True}, "2 processes at once, on 1+2 cores: start"),
    ],
)
def test_the_readme_says_which_cores_the_processes_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(verify, "ROUNDS", 0)
    monkeypatch.setattr(verify, "CALLS_S", 0.1)
    case = Case(model="tiny", backend="fake", sequence_length=8, **shares)
    write.export(case, None, tmp_path / "deployed", ignore_phase)
    readme = (tmp_path / "deployed" / "README.md").read_text()
    assert said in readme
    assert "record.json" not in readme  # no record chose this setting
    alone = case_of(tmp_path / "deployed", "instances=1", "threads=1")
    assert (alone.instances, alone.sizes) == (1, None)


def test_the_knobs_of_the_folders_engine_go_with_it(folder: Path) -> None:
    case = case_of(folder, "backend=torch")
    assert case.get("fake.latency_us") is None
    record = measure(case)
    assert record.status == "unsupported"
    assert record.error is not None
    assert "holds files for fake in bf16" in record.error.message


def test_a_run_brings_the_files_and_compares_with_the_stored_reference(folder: Path) -> None:
    record = run(folder)
    assert record.status == "ok", record.error
    assert record.fidelity is not None
    assert record.fidelity.reference == "fake fp32"
    assert record.fidelity.cosine_min == pytest.approx(1)
    assert record.metrics is not None


def test_outputs_that_differ_from_the_stored_reference_have_diverged(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    with np.load(copy / "reference.npz") as stored:
        arrays = dict(stored)
    arrays["output/embedding"] = arrays["output/embedding"][:, ::-1]
    np.savez(copy / "reference.npz", **arrays)
    assert run(copy).status == "diverged"


def test_another_precision_than_that_of_the_files_is_unsupported(folder: Path) -> None:
    record = run(folder, "precision=fp32")
    assert record.status == "unsupported"
    assert record.error is not None
    assert "precision=bf16" in str(record.error.hint)


def test_accuracy_is_unsupported_because_the_fp32_weights_are_not_there(folder: Path) -> None:
    record = run(folder, "max_accuracy_drop=1%")
    assert record.status == "unsupported"
    assert record.error is not None
    assert "no fp32 weights" in record.error.message


def test_another_task_than_that_of_the_files_is_an_error_of_the_model(folder: Path) -> None:
    with pytest.raises(ModelError, match="compute task=feature-extraction"):
        locate(ModelRequest(str(folder), task="masked-lm"))


def test_a_broken_description_of_the_checkpoint_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "checkpoint.json").write_text("{}")
    with pytest.raises(ModelError, match="does not describe a checkpoint"):
        locate(ModelRequest(str(copy)))


def test_a_delivered_folder_is_neither_tuned_nor_delivered_again(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="delivered folder already"):
        write.export(case_of(folder), None, tmp_path / "again", ignore_phase)
    with pytest.raises(UsageError, match="whose setting was found already"):
        api.new([f"model={folder}", "backend=fake", "trials=2"], api.TuneOptions("sqlite://"))


def test_the_environment_file_says_which_setting_each_variable_serves(folder: Path) -> None:
    lines = (folder / "settings.env").read_text().splitlines()
    place = lines.index("OMP_NUM_THREADS=1")
    assert lines[place - 1] == "# threads=1: cores of the process"


def test_no_file_names_a_folder_of_the_exporting_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ROUNDS", 0)
    monkeypatch.setattr(verify, "CALLS_S", 0.1)
    (tmp_path / "lengths.json").write_text('{"4": 1, "8": 2}')
    write_tiny(tmp_path / "model", 0)
    case = Case(
        model=str(tmp_path / "model"), backend="fake", lengths=str(tmp_path / "lengths.json"),
        sequence_length=8, threads=1, duration_s=0.1, warmup_s=0.1,
    )  # fmt: skip
    record = measure(case)
    write.export(case, record, tmp_path / "deployed", ignore_phase)
    assert not _bare_environment.folders_named(tmp_path / "deployed")
    kept = json.loads((tmp_path / "deployed" / "record.json").read_text())
    assert (kept["id"], kept["case"]["lengths"]) == (record.id, "lengths.json")
    assert kept["case"]["model"] == "model"


def test_a_missing_file_of_the_engine_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model" / "width").unlink()
    with pytest.raises(ModelError, match="model/width is missing"):
        locate(ModelRequest(str(copy)))
