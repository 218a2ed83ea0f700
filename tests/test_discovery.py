"""Variants found by file name; broken and hidden ones among them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

import honed
from honed import discovery
from honed.discovery import BrokenFileError
from honed.errors import UsageError

Room = Callable[[dict[str, str]], str]


class Asked(Protocol):
    HELP: str

    def go(self) -> None: ...


WHOLE = "HELP = 'whole'\ndef go(): pass\n"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A package of the given files, importable under a name of its own."""

    def make(files: dict[str, str]) -> str:
        package = f"things_of_{tmp_path.name.replace('-', '_')}s"
        folder = tmp_path / package
        folder.mkdir()
        for name, text in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return package

    return make


def test_files_and_folders_are_variants_but_base_and_private_ones_are_not(room: Room) -> None:
    package = room({"base": "", "_own": "", "plain": WHOLE})
    folder = Path(str(__import__(package).__file__)).parent / "nested"
    folder.mkdir()
    (folder / "__init__.py").write_text(WHOLE)
    assert discovery.names(package) == ("nested", "plain")
    assert discovery.load(package, "nested", Asked).HELP == "whole"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_framework", "No module named 'no_such_framework' (broken.py, line 1)"),
        ("HELP = 'x'\n\nraise ValueError('bad day')", "ValueError: bad day (broken.py, line 3)"),
        ("def go(:", "SyntaxError"),
        ("HELP = 'x'", "does not define go"),
        ("", "does not define HELP, go"),
    ],
)
def test_a_broken_file_says_so_and_breaks_no_other(room: Room, text: str, said: str) -> None:
    package = room({"broken": text, "plain": WHOLE})
    found = discovery.survey(package, Asked)
    assert set(found.working) == set(found.listed) == {"plain"}
    assert said in found.broken["broken"].message
    with pytest.raises(BrokenFileError) as refused:
        discovery.load(package, "broken", Asked)
    assert said in refused.value.message
    assert "broken.py" in refused.value.hint
    assert discovery.load(package, "plain", Asked).HELP == "whole"


def test_a_hidden_file_runs_when_asked_for_but_is_not_listed(room: Room) -> None:
    hidden = "from honed.backends.base import Traits\nTRAITS = Traits(hidden=True)\n"
    package = room({"shy": WHOLE + hidden, "plain": WHOLE})
    assert discovery.load(package, "shy", Asked).HELP == "whole"
    assert set(discovery.survey(package).working) == {"shy", "plain"}
    with pytest.raises(UsageError) as refused:
        discovery.load(package, "nothing")
    assert refused.value.hint == "known: plain"
    with pytest.raises(UsageError) as refused:
        discovery.load(package, "shyy")
    assert "did you mean shy?" in refused.value.hint


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of honed, with a backend file and a workload file that cannot be imported."""
    folder = tmp_path_factory.mktemp("copy")
    source = Path(honed.__file__).parent
    shutil.copytree(source, folder / "honed", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "honed/backends/broken.py").write_text("import an_engine_that_moved\n")
    (folder / "honed/workloads/torn.py").write_text("HELP = 'no sample'\n")
    return folder


def said_by(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from honed.cli import main; main()", *words],
        capture_output=True,
        text=True,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        check=False,
    )


def test_beside_a_broken_backend_the_others_run(copy: Path) -> None:
    quick = ["model=tiny", "duration_s=0.1", "warmup_s=0.1", "sequence_length=8"]
    done = said_by(copy, "run", *quick, "backend=fake", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ok"
    for words in (["backend=broken"], ["backend=broken", "broken.mode=x"]):
        refused = said_by(copy, "run", *quick, *words)
        assert refused.returncode == 1
        assert "backend broken cannot be imported" in refused.stderr
        assert "an_engine_that_moved" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_doctor_reports_the_broken_and_hides_the_hidden(copy: Path) -> None:
    told: dict[str, Any] = json.loads(said_by(copy, "doctor", "--json").stdout)
    engines = {engine["name"]: engine for engine in told["engines"]}
    assert "fake" not in engines
    assert engines["torch"]["precisions"]
    assert not engines["broken"]["available"]
    assert "an_engine_that_moved" in engines["broken"]["why"]
    assert engines["broken"]["how"]
    assert not [knob for knob in told["knobs"] if knob["name"].startswith("fake.")]
    keys = said_by(copy, "run", "--keys").stdout
    assert "torch.mode" in keys
    assert "fake." not in keys
