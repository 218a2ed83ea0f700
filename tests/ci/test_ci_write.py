"""The files of a gate: the words stay what they are, and the files are what their systems read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from honed import discovery
from honed.ci.systems.base import System, load_system
from honed.ci.write import SCRIPT, Gate, files, script, write
from honed.errors import UsageError

WORDS = ("model=tiny", "backend=fake", "lengths=uniform(8,16)")
SYSTEMS = discovery.names("honed.ci.systems")


def array(text: str, name: str) -> list[str]:
    """The elements of an array of the script, as bash reads them."""
    line = re.search(rf"^{name}=\(.*\)$", text, re.MULTILINE)
    assert line is not None
    done = subprocess.run(
        ["bash", "-c", f'{line[0]}; printf "%s\\n" "${{{name}[@]}}"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_bash_reads_the_words_as_they_were_typed() -> None:
    text = script(Gate(WORDS, budget="90s"))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert array(text, "WORDS") == list(WORDS)
    assert array(text, "QUESTION") == ["--resolution", "2%", "--budget", "90s"]
    assert array(text, "PACKAGES") == ["honed[fake]"]
    assert not re.search(r"@[A-Z]+@", text)
    limited = script(Gate(WORDS, limit="5 %", budget="10 m"))
    assert array(limited, "QUESTION") == ["--fail-if-slower", "5 %", "--budget", "10 m"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_gets_yaml_that_runs_the_script_and_keeps_its_folder(system: str) -> None:
    kind = load_system(system)
    assert all(getattr(kind, name) for name in System.__annotations__)
    text = files(Gate(WORDS), system)[kind.FILE]
    assert isinstance(yaml.safe_load(text), dict)
    assert f"bash {SCRIPT}" in text
    assert "pip install 'honed[fake]'" in text
    assert "honed-gate/" in text
    assert not re.search(r"@[A-Z]+@", text)


def test_files_that_are_there_stay_unless_forced(tmp_path: Path) -> None:
    texts = files(Gate(WORDS), "github")
    written = write(texts, tmp_path, replace=False)
    assert (tmp_path / SCRIPT).stat().st_mode & 0o111
    (tmp_path / SCRIPT).write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        write(texts, tmp_path, replace=False)
    assert (tmp_path / SCRIPT).read_text() == "mine"
    assert write(texts, tmp_path, replace=True) == written
    with pytest.raises(UsageError, match="is no folder"):
        write(texts, tmp_path / "nowhere", replace=False)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("words", "question", "said"),
    [
        ((), {}, "say what"),
        (("model=tiny", "backend=fke"), {}, "fke"),
        (("model=tiny", "batch_size=1,8"), {}, "2 cases"),
        (("model=tiny", "python=python3"), {}, "the gate sets itself"),
        (WORDS, {"resolution": "2"}, "no share"),
        (WORDS, {"budget": "10 days"}, "no length of time"),
    ],
)
def test_a_gate_that_cannot_work_is_refused(
    words: tuple[str, ...], question: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Gate(words, **question)


def test_a_system_that_is_not_known_names_the_others() -> None:
    with pytest.raises(UsageError) as raised:
        files(Gate(WORDS), "githup")
    assert "github" in raised.value.hint
