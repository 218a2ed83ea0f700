import os
from pathlib import Path

import pytest
from children import prove
from test_libraries import library

from honed.errors import UnsupportedError
from honed.machine import libraries, spawn
from honed.machine.knobs import openmp

# GNU's and LLVM's are Debian packages that the tests need; Intel's is there where pip put it.
RUNTIMES = [kind for kind in ("gnu", "llvm", "intel") if kind != "intel" or openmp.find(kind)]
KMP = [kind for kind in RUNTIMES if kind != "gnu"]


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_real_child_uses_the_runtime_of_the_knob(kind):
    asked = {"openmp": kind, "omp_affinity": "close", "omp_wait": "passive"}
    assert prove(asked) == ([], asked)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_other_settings_of_the_runtime_are_read_back(kind):
    asked = {"openmp": kind, "omp_affinity": "off", "omp_wait": "active"}
    assert prove(asked) == ([], asked)


@pytest.mark.parametrize("kind", KMP)
@pytest.mark.parametrize("blocktime_ms", [0, 1, 150])
def test_block_time(kind, blocktime_ms):
    asked = {"openmp": kind, "blocktime_ms": blocktime_ms}
    assert prove(asked) == ([], asked)


def test_block_time_is_not_read_back_from_gnus_runtime():
    _, found = prove({"openmp": "gnu", "blocktime_ms": 1})
    assert found == {"openmp": "gnu", "blocktime_ms": None}


def test_without_any_runtime_nothing_is_proven():
    names = ["openmp", "omp_affinity", "omp_wait", "blocktime_ms"]
    _, found = prove({"omp_affinity": "close", "omp_wait": "active"}, names=names)
    assert found == dict.fromkeys(names)


def test_an_older_runtime_prints_its_settings_in_another_process():
    """Stands in for a GNU runtime before 12, which has no omp_display_env."""
    code = """
from honed.machine.knobs import openmp
class Older:
    def __init__(self, *_, **__): pass
openmp.ctypes.CDLL, kept = Older, openmp.ctypes.CDLL
path = openmp.find("gnu")
openmp.runtime = lambda: path
"""
    for policy in ("active", "passive"):
        _, found = prove({"openmp": "gnu", "omp_wait": policy}, code, names=["omp_wait"])
        assert found == {"omp_wait": policy}


@pytest.mark.engine
@pytest.mark.parametrize("kind", RUNTIMES)
def test_torch_uses_the_preloaded_runtime(kind):
    code = """
import torch
torch.set_num_threads(2)
torch.ones(2000, 2000).add(1).sum()
from honed.machine.knobs import openmp
assert openmp._ask("omp_get_max_threads") == 2
"""
    assert prove({"openmp": kind, "omp_wait": "passive"}, code) == (
        [],
        {"openmp": kind, "omp_wait": "passive"},
    )


def test_torchs_copy_of_gnus_runtime_is_preferred(tmp_path, monkeypatch):
    library(tmp_path, "usr/lib/libgomp.so.1.0.0")
    monkeypatch.setattr(openmp.sysconfig, "get_path", lambda _: "/venv/site-packages")
    assert openmp.find("gnu", tmp_path).name == "libgomp.so.1.0.0"
    own = library(tmp_path, "venv/site-packages/torch/lib/libgomp.so.1")
    assert openmp.find("gnu", tmp_path) == own


def test_condas_intel_name_for_llvms_is_not_intels(tmp_path):
    made = library(tmp_path, "opt/conda/lib/libomp.so")
    (made.parent / "libiomp5.so").symlink_to("libomp.so")
    assert openmp.find("intel", tmp_path) is None
    assert openmp.find("llvm", tmp_path) == made
    found = openmp.available_value("intel", tmp_path)
    assert (found.ok, found.how) == (False, "pip install intel-openmp")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("libgomp-a34b3233.so.1.0.0", "gnu"),
        ("libgomp.so.1", "gnu"),
        ("libiomp5.so", "intel"),
        ("libomp.so.5", "llvm"),
        ("libompl.so", None),
    ],
)
def test_kinds_by_name(name, kind):
    assert openmp.kind_of(Path(name)) == kind


def test_block_time_without_a_fitting_runtime_is_refused_with_a_hint(monkeypatch):
    monkeypatch.setattr(openmp, "find", lambda kind: Path("/g") if kind == "gnu" else None)
    monkeypatch.setattr(openmp, "runtime", lambda: None)
    with pytest.raises(UnsupportedError, match="neither Intel's nor LLVM's") as caught:
        spawn.fold({"blocktime_ms": 1}, os.environ)
    assert "pip install intel-openmp" in caught.value.hint


def test_of_two_loaded_runtimes_none_is_guessed(monkeypatch):
    monkeypatch.setattr(libraries, "providing", lambda _: None)
    both = (Path("/a/libgomp-1.so.1"), Path("/b/libomp.so"))
    monkeypatch.setattr(libraries, "mapped", lambda _: both)
    assert openmp.runtime_here() is None
    monkeypatch.setattr(libraries, "mapped", lambda _: both[:1])
    assert openmp.runtime_here() == "gnu"
