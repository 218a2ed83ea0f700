"""Locks that end with their process, and files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from honed.errors import StoreError
from honed.files import give, held, locked, whole, write_whole


@pytest.fixture
def lock_of_another(tmp_path):
    """A lock that a child process holds until its stdin ends."""
    path = tmp_path / "a.lock"
    program = textwrap.dedent(f"""
        import pathlib, sys
        from honed.files import locked
        with locked(pathlib.Path({str(path)!r})):
            print("held", flush=True)
            sys.stdin.read()
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout.readline() == b"held\n"
    yield path, child
    child.kill()
    child.communicate()


def test_a_lock_excludes_others_until_its_process_ends(lock_of_another):
    path, child = lock_of_another
    with pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    child.kill()
    child.wait()
    with locked(path, wait=False) as descriptor:
        os.fstat(descriptor)
    with locked(path, wait=False):  # given back at the end of the block
        pass


def test_who_waits_is_called(lock_of_another):
    path, child = lock_of_another
    calls = []

    def on_wait():
        calls.append(1)
        child.kill()
        child.wait()

    with locked(path, on_wait=on_wait):
        assert calls == [1]


def test_a_lock_for_everyone_can_be_opened_by_everyone(tmp_path):
    with locked(tmp_path / "a", for_everyone=True):
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666


def test_an_open_file_can_be_locked(tmp_path):
    path = tmp_path / "a"
    with (
        open(path, "w") as file,
        held(file.fileno()),
        pytest.raises(BlockingIOError),
        locked(path, wait=False),
    ):
        pass
    with locked(path, wait=False):
        pass


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "first")
    write_whole(path, b"second")
    assert path.read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "first")
    with pytest.raises(KeyboardInterrupt):
        _begin_and_fail(path, KeyboardInterrupt())
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_for_the_user_is_written_with_its_folders_and_through_a_link(tmp_path):
    path = tmp_path / "new" / "a.txt"
    assert give(path, "first", "--out FILE") == path
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    give(link, "second", "--out FILE")
    assert link.is_symlink()
    assert path.read_text() == "second"


def test_a_place_that_cannot_be_written_names_the_option(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "a.txt", tmp_path, "/proc/a/b.txt"):
        with pytest.raises(StoreError, match="cannot write") as refused:
            give(Path(place), "text", "--out FILE")
        assert "--out FILE" in refused.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole(tmp_path):
    with pytest.raises(ValueError, match="half"):
        _begin_and_fail(tmp_path / "f", ValueError("half"), folder=True)
    assert list(tmp_path.iterdir()) == []
    with whole(tmp_path / "f") as staging:
        staging.mkdir()
        (staging / "data").write_text("all")
    assert (tmp_path / "f" / "data").read_text() == "all"


def _begin_and_fail(path, error, folder=False):
    with whole(path) as staging:
        if folder:
            staging.mkdir()
        (staging / "data" if folder else staging).write_text("half")
        raise error
