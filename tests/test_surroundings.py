"""Where honed runs: unknown users, folders that cannot be written, poor or missing streams."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from honed import surroundings
from honed.errors import HonedError

HONED = str(Path(sys.executable).with_name("honed"))
FAKE = "model=tiny backend=fake duration_s=0.1 warmup_s=0.1 sequence_length=8 memory=false"
AS_NOBODY_KNOWN = ("unshare", "--user", "--map-user=12345")


def shell(cwd: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $HONED is the command."""
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env=os.environ | {"HONED": HONED} | environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_our_characters_gets_the_table_in_others(
    tmp_path: Path, encoding: str
) -> None:
    done = shell(tmp_path, f"$HONED run {FAKE}", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "p50 ms" in done.stdout
    assert "ok" in done.stdout
    assert shell(tmp_path, "$HONED cache show", PYTHONIOENCODING=encoding).returncode == 0


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("$HONED export >&-", "standard output is closed"),
        ("$HONED doctor >&-", "standard output is closed"),
        ("$HONED run --keys >/dev/full", "No space left"),
        ("$HONED doctor >/dev/full", "No space left"),
        ("$HONED run model=$'m\\xff' backend=fake", "not valid UTF-8"),
    ],
)
def test_what_cannot_be_written_or_named_is_one_line_and_a_hint(
    tmp_path: Path, script: str, words: str
) -> None:
    done = shell(tmp_path, script)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert words in first
    assert second.startswith("  try: ")


def test_closed_input_and_errors_do_no_harm(tmp_path: Path) -> None:
    done = shell(tmp_path, f"$HONED run {FAKE} --json <&- 2>&-")
    assert done.returncode == 0
    assert '"status": "ok"' in done.stdout


@pytest.mark.parametrize("home", ["/sys", "/proc/1"])
def test_a_home_that_cannot_be_written_says_what_to_set(tmp_path: Path, home: str) -> None:
    script = f"unset HONED_CACHE XDG_CACHE_HOME; $HONED run {FAKE}"
    done = shell(tmp_path, script, HOME=home)
    assert done.returncode == 1
    assert "set HONED_CACHE" in done.stdout + done.stderr
    assert shell(tmp_path, "$HONED doctor", HOME=home).returncode == 0
    script = "unset HONED_HOME XDG_DATA_HOME; $HONED env create name package"
    done = shell(tmp_path, script, HOME=home)
    assert done.returncode == 1
    assert "set HONED_HOME" in done.stderr


def test_a_folder_that_cannot_be_written_says_where_records_can_go(tmp_path: Path) -> None:
    done = shell(Path("/proc"), f"$HONED run {FAKE}")
    assert done.returncode == 1
    assert "HONED_STORE" in done.stderr
    assert shell(Path("/proc"), "$HONED doctor").returncode == 0
    stored = shell(Path("/proc"), f"$HONED run {FAKE}", HONED_STORE=str(tmp_path / "r.db"))
    assert stored.returncode == 0, stored.stderr


def test_a_user_whom_the_system_does_not_know_can_measure(tmp_path: Path) -> None:
    tried = subprocess.run([*AS_NOBODY_KNOWN, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("user namespaces are not allowed here")
    tmp_path.chmod(0o777)
    command = " ".join(AS_NOBODY_KNOWN)
    bare = f"{command} env -i PATH=$PATH TMPDIR={tmp_path} $HONED"
    for words in ("doctor", f"run {FAKE}"):
        done = shell(tmp_path, f"{bare} {words}")
        assert done.returncode == 0, done.stderr
        assert "has no home folder" in done.stderr
    assert (tmp_path / "honed-12345").is_dir()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No entry for this user in the system's list; returns the temporary folder."""

    def refuse(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_an_unknown_user_gets_a_name_and_a_private_home(unknown: Path) -> None:
    environment: dict[str, str] = {}
    assert "set HOME" in surroundings.find_home(environment)
    home = Path(environment["HOME"])
    assert home.parent == unknown
    assert home.stat().st_mode & 0o777 == 0o700
    assert environment["USER"]
    chosen = {"HOME": "/somewhere", "USER": "me"}
    assert surroundings.find_home(chosen) == ""
    assert chosen == {"HOME": "/somewhere", "USER": "me"}


def test_a_home_that_others_can_write_is_refused(unknown: Path) -> None:
    (unknown / f"honed-{os.getuid()}").mkdir()
    (unknown / f"honed-{os.getuid()}").chmod(0o777)
    with pytest.raises(HonedError, match="belongs to somebody else") as caught:
        surroundings.find_home({})
    assert "set HOME" in caught.value.hint


def test_no_temporary_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    with pytest.raises(HonedError, match="no temporary folder") as caught:
        surroundings.find_home({})
    assert "TMPDIR" in caught.value.hint


def test_only_faults_of_places_are_explained() -> None:
    read_only = surroundings.explain(OSError(errno.EROFS, "Read-only file system", "/x/y"))
    assert read_only is not None
    assert "/x/y" in read_only.message
    assert "HONED_CACHE" in read_only.hint
    assert surroundings.explain(OSError(errno.EINVAL, "Invalid argument")) is None
