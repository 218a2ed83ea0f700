"""Other interpreters are examined before they measure: what they lack, and what to type."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy
import pytest

from honed import environments
from honed.case import Case
from honed.environments.installer import OLDEST
from honed.errors import UnsupportedError, UsageError
from honed.run.parent import measure
from honed.workers import interpreter, probe


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def bare(folder: Path, *packages: str) -> Path:
    """A virtual environment with these packages of this one, and no others."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in packages:
        source = Path(numpy.__file__).parent.parent / name
        (folder / "lib" / version / "site-packages" / name).symlink_to(source)
    return folder


def registered(home: Path, name: str, *packages: str) -> None:
    """An environment under honed's own name for it."""
    folder = bare(home / "envs" / name, *packages)
    about = {"created": "2026-01-01", "python": "3.11.2", "requirements": list(packages)}
    (folder / "honed.json").write_text(json.dumps(about))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HONED_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def case(python: str, backend: str = "fake") -> Case:
    return Case(model="tiny", backend=backend, python=python, duration_s=0.1, warmup_s=0.1)


def numpy_files() -> list[str]:
    info = next(Path(numpy.__file__).parent.parent.glob("numpy-*.dist-info"))
    return ["numpy", "numpy.libs", info.name]


def test_a_named_environment_measures_and_the_record_keeps_its_versions(home: Path) -> None:
    registered(home, "mine", *numpy_files())
    record = measure(case("mine"))
    assert record.status == "ok", record.error
    assert record.case["python"] == "mine"
    assert record.machine["packages"] == {"numpy": numpy.__version__}
    assert record.machine["python"] == ".".join(map(str, sys.version_info[:3]))


def test_what_is_missing_is_named_with_the_command_that_mends_it(home: Path) -> None:
    registered(home, "empty")
    record = measure(case("empty"))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "numpy not installed" in record.error.message
    assert record.error.hint == "honed env add empty numpy"
    registered(home, "noengine", *numpy_files())
    record = measure(case("noengine", "onnxruntime"))
    assert record.error is not None
    assert "onnxruntime" in record.error.message
    assert record.error.hint.startswith("honed env add noengine onnxruntime")
    python = str(environments.get("empty").interpreter)
    with pytest.raises(UnsupportedError) as refused:
        interpreter.examine(python, "fake")
    assert refused.value.hint == f"{python} -m pip install numpy"


def test_an_old_interpreter_is_refused_with_its_version(tmp_path: Path) -> None:
    old = script(tmp_path / "old", """echo '{"python": "3.9.2"}'""")
    record = measure(case(old))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "Python 3.9.2: honed's worker needs 3.11 or newer" in record.error.message
    assert "--python 3.11" in record.error.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 0", "does not answer"),
        ("echo hello", "does not answer"),
        ("echo 7", "does not answer"),
        ("echo '{}'", "does not answer"),
        ("echo cannot open shared object >&2; exit 127", "cannot open shared object"),
    ],
)
def test_a_program_that_is_no_interpreter_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said) as refused:
        interpreter.examine(script(tmp_path / "thing", text), "fake")
    assert refused.value.hint


def test_an_interpreter_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="No such file"):
        interpreter.examine(str(tmp_path / "nothing"), "fake")


def test_an_interpreter_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "_PROBE_S", 0.2)
    with pytest.raises(UnsupportedError, match="no answer"):
        interpreter.examine(script(tmp_path / "hangs", "exec sleep 30"), "fake")


def test_a_name_that_means_nothing_is_refused_before_anything_runs(home: Path) -> None:
    from honed.run.sweep import plan_sweep
    from honed.store import open_store

    registered(home, "torch-2.8")
    with pytest.raises(UsageError) as refused:
        plan_sweep(
            open_store(str(home / "r.db")),
            ["model=tiny", "backend=fake", "python=torch-28"],
            None,
            resume=False,
        )
    assert "did you mean torch-2.8?" in refused.value.hint


def test_the_probe_is_read_by_any_python_3() -> None:
    """Old ones must get far enough to say how old they are."""
    source = Path(probe.__file__).read_text()
    ast.parse(source, feature_version=(3, 5))
    assert "from __future__" not in source
    assert probe.examine("", "fake", (99, 0)) == {
        "python": ".".join(str(n) for n in sys.version_info[:3])
    }


def test_the_oldest_python_is_the_one_that_honed_asks_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={'.'.join(map(str, OLDEST))}"


def test_neither_this_environment_nor_the_users_reaches_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    python = str(bare(tmp_path / "empty") / "bin" / "python")
    with pytest.raises(UnsupportedError, match="numpy not installed"):
        interpreter.examine(python, "fake")
