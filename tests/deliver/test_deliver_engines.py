"""Folders of several engines answer right where the engine, numpy and tokenizers alone are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import engine_steps
import numpy as np
import pytest
import sentence_folders

from benchmarks import _bare_environment
from honed.backends.base import LoadRequest
from honed.backends.torch import delivering
from honed.case import Case
from honed.compose import compose
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.errors import UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.phase import Phase, ignore_phase
from honed.run.parent import measure

SETTINGS: dict[str, dict[str, Any]] = {
    "ctranslate2": {"backend": "ctranslate2"},
    "torch": {"backend": "torch", "precision": "bf16"},
}
# What a bare environment does not have.
FORBIDDEN = {"honed", "sentence_transformers", "onnxruntime", "openvino", "tensorflow"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder whose vectors pass through a dense layer and are normalised."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Normalize

    root = tmp_path_factory.mktemp("sentences")
    dense = sentence_folders.dense(sentence_folders.HIDDEN, 24, torch.nn.Tanh())
    return sentence_folders.saved(root, "mean", dense, Normalize())


def exported(model: Path, folder: Path, **settings: Any) -> Path:
    texts = folder.parent / "texts.txt"
    texts.write_text("\n".join(sentence_folders.TEXTS))
    case = Case(
        model=str(model), inputs=str(texts), batch_size=4, sequence_length=16, threads=1,
        **settings,
    )  # fmt: skip
    engine_steps.prepare_here(case)  # this process has imported torch already
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "ROUNDS", 0)
        patch.setattr(verify, "CALLS_S", 0.1)
        write.export(case, None, folder, ignore_phase)
    return folder


@pytest.fixture(scope="module", params=SETTINGS)
def deployed(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "deployed"
    return exported(model, folder, **SETTINGS[request.param])


@pytest.mark.engine
def test_a_bare_environment_gives_the_outputs_of_the_export(
    deployed: Path, tmp_path: Path
) -> None:
    packages = json.loads((deployed / "settings.json").read_text())["packages"]
    python = _bare_environment.make(tmp_path / "bare", [*packages, "numpy", "tokenizers"])
    found = _bare_environment.answer(deployed, python, sentence_folders.TEXTS)
    assert found["cosine_min"] >= verify.LEAST_COSINE
    assert not FORBIDDEN & set(found["modules"])
    with np.load(deployed / "check.npz") as stored:
        wanted = stored["output/embedding"]
    vectors = np.array(found["vectors"])
    cosines = (vectors * wanted).sum(axis=1) / (
        np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted, axis=1)
    )
    assert cosines.min() >= verify.LEAST_COSINE


@pytest.mark.engine
def test_no_file_names_a_folder_of_the_exporting_machine(deployed: Path) -> None:
    assert not _bare_environment.folders_named(deployed)


@pytest.mark.engine
def test_honed_runs_the_folder_with_its_own_files(deployed: Path) -> None:
    (case,) = compose([f"model={deployed}", "duration_s=0.2", "warmup_s=0.2"]).cases
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.memory is not None
    assert record.fidelity is not None
    assert record.fidelity.reference == "torch fp32"


@pytest.mark.engine
def test_sentence_transformers_opens_what_the_readme_says_it_opens(
    model: Path, deployed: Path
) -> None:
    is_checkpoint = (deployed / "model" / "modules.json").exists()
    assert ("SentenceTransformer(" in (deployed / "README.md").read_text()) == is_checkpoint
    if is_checkpoint:
        wanted = sentence_folders.encoded(model)
        assert np.allclose(sentence_folders.encoded(deployed / "model"), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"precision": "int8", "knobs": {"torch.int8": "per_row"}}, "int8 per row without"),
        ({"precision": "int4"}, "int4 without"),
        ({"knobs": {"torch.packed": "on"}}, "torch.packed"),
        ({"knobs": {"torch.buckets": 32}}, "torch.buckets"),
        ({"knobs": {"torch.mode": "torchscript"}}, "torchscript"),
        ({"device": "cuda"}, "device=cuda"),
    ],
)
def test_settings_of_torch_that_need_honeds_own_code_are_refused(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    case = Case(model=str(tmp_path / "nothing"), backend="torch", **settings)
    with pytest.raises(UnsupportedError, match=why) as refused:
        write.export(case, None, tmp_path / "deployed", nothing_starts)
    assert "torch.mode=aoti" in refused.value.hint


def nothing_starts(phase: Phase | None) -> None:
    """What cannot be delivered is refused before a process prepares or loads anything."""
    raise AssertionError(f"{phase} began")


def test_keras_without_a_graph_is_refused_before_anything_starts(tmp_path: Path) -> None:
    case = Case(model=str(tmp_path / "nothing"), backend="keras")
    with pytest.raises(UnsupportedError, match="operators one by one"):
        write.export(case, None, tmp_path / "deployed", nothing_starts)


@pytest.mark.parametrize("workload", ["train_step", "attention", "max_batch"])
def test_a_workload_without_a_forward_pass_to_deliver_is_refused(
    tmp_path: Path, workload: str
) -> None:
    case = Case(model="tiny", backend="fake", workload=workload)
    with pytest.raises(UnsupportedError, match=f"workload={workload} leaves no files"):
        write.export(case, None, tmp_path / "deployed", nothing_starts)


def test_a_checkpoint_that_brings_code_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(
        tmp_path, "key", "folder", {"model_type": "bert"}, "feature-extraction", "mean",
        max_positions=64, vocab_size=20, weights_bytes=1, has_tokenizer=False, own_code=True,
    )  # fmt: skip
    request = LoadRequest(Case(model=str(tmp_path), backend="torch"), checkpoint, 1)
    with pytest.raises(UnsupportedError, match="Python code of a checkpoint"):
        delivering.deliver(request, None, tmp_path)
