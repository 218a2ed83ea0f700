"""Environments that the real venv and pip make from wheels of this test."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from honed import environments
from honed.environments.environment import Environment
from honed.environments.installer import Installer
from honed.errors import HonedError, UsageError

PIP = Installer("pip")
Made = tuple[Path, Environment]


@pytest.fixture
def there(made: Made, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("HONED_HOME", str(made[0]))
    return made[1]


def fake(home: Path, name: str) -> Path:
    """An environment with a description but without packages."""
    folder = home / "envs" / name
    (folder / "bin").mkdir(parents=True)
    about = {"created": "2026-01-01", "python": "3.11.2", "requirements": ["x==1"]}
    (folder / "honed.json").write_text(json.dumps(about))
    return folder


def test_an_environment_has_its_packages_and_numpy(there: Environment) -> None:
    assert there.works
    assert there.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert {"oldengine": "1.0", "numpy": "1.0"}.items() <= there.packages().items()
    assert environments.find("old") == there
    assert [e.name for e in environments.entries()] == ["old"]
    assert there.size_bytes > 1000
    told = subprocess.run(
        [
            there.interpreter,
            "-c",
            "import oldengine, sys; print(oldengine.__version__, sys.prefix)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["1.0", str(there.folder)]


def test_the_name_of_an_environment_means_its_interpreter(there: Environment) -> None:
    assert environments.interpreter("old") == str(there.interpreter)
    assert environments.interpreter("/some/where/python") == "/some/where/python"
    assert environments.interpreter("python3") == "python3"
    with pytest.raises(UsageError) as refused:
        environments.interpreter("odl")
    assert "did you mean old?" in refused.value.hint


def test_a_name_can_be_used_once(there: Environment) -> None:
    with pytest.raises(UsageError, match="oldengine==1") as refused:
        environments.create("old", ("oldengine==2.0",), PIP)
    assert "honed env remove old" in refused.value.hint
    assert environments.find("old") == there


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b", "python3", "ls"])
def test_ambiguous_names_are_refused(home: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        environments.create(name, ("oldengine",), PIP)
    assert environments.find(name) is None
    assert not (home / "envs").exists()


def test_created_over_an_unfinished_one_extended_and_removed(home: Path) -> None:
    left = home / "envs" / "mine"
    left.mkdir(parents=True)
    (left / "pyvenv.cfg").write_text("half")
    assert environments.create("mine", ("oldengine==1.0",), PIP).works
    alone = Installer("pip", options=("--no-deps",))
    grown = environments.add("mine", ("oldengine==2.0", "needy"), alone)
    assert {"oldengine": "2.0", "needy": "1.0"}.items() <= grown.packages().items()
    assert grown.requirements == ("oldengine==1.0", "oldengine==2.0", "needy")
    assert environments.get("mine") == grown
    assert environments.remove("mine") == grown
    assert not grown.folder.exists()
    with pytest.raises(UsageError, match="no environment is called 'mine'"):
        environments.remove("mine")


def test_a_failed_install_leaves_no_folder_and_gives_a_hint(home: Path) -> None:
    with pytest.raises(HonedError) as failed:
        environments.create("needy", ("needy",), PIP)
    assert "a_package_that_is_nowhere" in failed.value.message
    assert "check name and version" in failed.value.hint
    assert not (home / "envs" / "needy").exists()
    assert environments.entries() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_unfinished_environment_is_deleted(
    home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped inside the installer: deleted at once or, after SIGKILL, by the next listing."""
    slow = tmp_path / "slow-python"
    sleep = f"sleep 60.{os.getpid()}"  # no other program on the machine sleeps so long
    slow.write_text(f'#!/bin/sh\nmkdir -p "$3" && touch "$3/half" && exec {sleep}\n')
    slow.chmod(0o755)
    command = ["env", "create", "half", "oldengine", "--installer", "pip", "--python", str(slow)]
    maker = subprocess.Popen(
        [sys.executable, "-c", "from honed.cli import main; main()", *command]
    )
    half = home / "envs" / "half" / "half"
    while not half.exists():
        assert maker.poll() is None
        time.sleep(0.02)
    with pytest.raises(UsageError, match="another process is changing the environment half"):
        environments.create("half", ("oldengine",), PIP)
    assert environments.entries() == []
    assert half.exists()  # listing does not delete an environment that is being made
    maker.send_signal(number)
    assert maker.wait(timeout=60) in (130, -signal.SIGKILL)
    if number == signal.SIGKILL:
        assert half.exists()  # its installer still runs, and still holds the lock
        _end(sleep)
        _wait_for(lambda: environments.entries() == [] and not half.parent.exists())
    assert not half.parent.exists()


def _end(args: str) -> None:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        pid, _, said = line.strip().partition(" ")
        if said.strip() == args:
            os.kill(int(pid), signal.SIGKILL)


def _wait_for(done: object, limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not done():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_an_environment_without_its_base_interpreter_does_not_work(home: Path) -> None:
    folder = fake(home, "gone")
    (folder / "bin" / "python").symlink_to(home / "nothing")
    assert [(e.name, e.works) for e in environments.entries()] == [("gone", False)]
    with pytest.raises(UsageError, match="is gone") as refused:
        environments.interpreter("gone")
    assert "honed env create gone x==1" in refused.value.hint


def test_a_removal_does_not_wait_for_the_lock(home: Path) -> None:
    fake(home, "busy")
    with open(home / "envs" / ".busy.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            environments.remove("busy")
    assert environments.remove("busy").name == "busy"


def test_a_home_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HONED_HOME", str(tmp_path / "file"))
    with pytest.raises(HonedError) as failed:
        environments.create("any", ("numpy",), PIP)
    assert "HONED_HOME" in failed.value.hint


def test_the_folder_of_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HONED_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert environments.root() == tmp_path / "honed" / "envs"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert environments.root() == Path.home() / ".local" / "share" / "honed" / "envs"


def test_a_shared_environment_has_its_own_release_and_all_other_packages(home: Path) -> None:
    environment = environments.create("mine", ("oldengine==1.0",), PIP, shared=True)
    assert environment.packages()["oldengine"] == "1.0"
    assert "numpy" not in environment.packages()
    told = subprocess.run(
        [environment.interpreter, "-c", "import numpy, oldengine; print(oldengine.__version__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["1.0"]
