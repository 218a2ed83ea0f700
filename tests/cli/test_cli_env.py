"""honed env, as its users meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import command
import pytest
from wheels import offline, write_index

from honed import environments
from honed.environments import Environment

Said = subprocess.CompletedProcess[str]
HONED = [sys.executable, "-c", "from honed.cli import main; main()"]


@pytest.fixture
def honed(tmp_path: Path) -> Callable[..., Said]:
    environment = os.environ | offline(tmp_path / "home", write_index(tmp_path / "wheels"))

    def call(*words: str) -> Said:
        return subprocess.run(
            [*HONED, *words], capture_output=True, text=True, env=environment, check=False
        )

    return call


def test_an_environment_from_first_to_last(honed: Callable[..., Said], tmp_path: Path) -> None:
    assert "no environments yet: honed env create" in honed("env", "list").stdout
    made = honed("env", "create", "old", "oldengine==1.0", "--installer", "pip")
    assert made.returncode == 0, made.stderr
    assert "oldengine 1.0" in made.stdout
    assert "python=old" in made.stdout
    assert "oldengine 1.0" in honed("env", "list").stdout
    (told,) = map(json.loads, honed("env", "list", "--json").stdout.splitlines())
    assert told["requirements"] == ["oldengine==1.0"]
    assert told["packages"]["numpy"] == "1.0"
    assert told["works"]
    assert told["size_bytes"] > 0
    assert Path(told["interpreter"]) == tmp_path / "home" / "envs" / "old" / "bin" / "python"
    doctor = honed("doctor")
    assert "Environments" in doctor.stdout
    assert "python=old" in doctor.stdout
    (listed,) = json.loads(honed("doctor", "--json").stdout)["environments"]
    assert listed["name"] == "old"
    added = honed("env", "add", "old", "oldengine==2.0", "--installer", "pip")
    assert "oldengine 2.0" in added.stdout
    assert "removed old" in honed("env", "remove", "old").stdout
    assert not (tmp_path / "home" / "envs" / "old").exists()


def test_a_failure_says_what_to_try_and_leaves_nothing(
    honed: Callable[..., Said], tmp_path: Path
) -> None:
    failed = honed("env", "create", "new", "oldengine==99", "--installer", "pip")
    assert failed.returncode == 1
    assert "No matching distribution" in failed.stderr
    assert "try: check name and version" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "home" / "envs" / "new").exists()
    unknown = honed("env", "remove", "new")
    assert unknown.returncode == 2
    assert "no environment is called 'new'" in unknown.stderr


def test_a_word_that_names_no_environment_is_refused(
    honed: Callable[..., Said], tmp_path: Path
) -> None:
    store = f"--store={tmp_path}/records.db"
    refused = honed("run", "model=tiny", "backend=fake", "python=nowhere-at-all", store)
    assert refused.returncode == 2
    assert "no environment and no command" in refused.stderr
    assert "honed env create" in refused.stderr


def test_names_are_whole_in_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["blame-onnxruntime-1.29.0", "blame-onnxruntime-1.31.1"]
    made = [Environment(n, tmp_path / n, "2026-01-01", "3.12.1", ("onnxruntime",)) for n in names]
    monkeypatch.setattr(environments, "entries", lambda: made)
    text = command.honed(tmp_path, "env", "list", COLUMNS="60").stdout
    assert [line.split()[0] for line in text.splitlines() if line.startswith("blame")] == names
