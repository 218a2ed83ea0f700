"""The cache: made once, whole or not at all, and bounded."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed import artifacts
from honed.errors import HonedError, UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HONED_CACHE_MAX_GIB", raising=False)
    return tmp_path / "cache"


def put(name, size_bytes=100, used=None):
    """An artifact of about that size, last used at that time."""

    def build(folder):
        (folder / "data").write_bytes(b"x" * size_bytes)

    path = artifacts.make("kind", {"name": name}, build)
    if used is not None:
        os.utime(path / "honed.json", (used, used))
    return path


def names():
    return [a.about["name"] for a in artifacts.entries()]


class TestMaking:
    def test_built_once_then_found(self):
        built = []

        def build(folder):
            built.append(folder)
            (folder / "data").write_text("content")

        about = {"what": "it"}
        assert artifacts.find("kind", artifacts.content_key(about)) is None
        first = artifacts.make("kind", about, build)
        assert artifacts.make("kind", about, build) == first
        assert artifacts.find("kind", artifacts.content_key(about)) == first
        assert len(built) == 1
        assert (first / "data").read_text() == "content"

    def test_it_is_built_where_nobody_finds_it(self):
        about = {"what": "it"}

        def build(folder):
            (folder / "data").write_text("half")
            assert artifacts.find("kind", artifacts.content_key(about)) is None
            assert artifacts.entries() == []

        artifacts.make("kind", about, build)
        (entry,) = artifacts.entries()
        assert entry.about == about
        assert entry.kind == "kind"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_a_build_that_raises_leaves_nothing(self, cache, error):
        def build(folder):
            (folder / "data").write_text("half")
            raise error

        with pytest.raises(error):
            artifacts.make("kind", {}, build)
        assert artifacts.entries() == []
        assert not [p for p in (cache / "kind").iterdir() if p.is_dir()]
        artifacts.make("kind", {}, lambda folder: (folder / "data").write_text("whole"))
        assert len(artifacts.entries()) == 1

    def test_a_folder_without_its_description_is_made_again(self):
        path = put("a")
        (path / "honed.json").unlink()
        (path / "leftover").write_text("")
        assert artifacts.find("kind", path.name) is None
        again = put("a")
        assert again == path
        assert not (again / "leftover").exists()

    def test_finding_marks_it_used(self):
        path = put("a", used=1000)
        artifacts.find("kind", path.name)
        (entry,) = artifacts.entries()
        assert entry.used > time.time() - 60


def _make_slowly(log, gate):
    def build(folder):
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.2)
        (folder / "data").write_text("whole")

    gate.wait()
    path = artifacts.make("kind", {"name": "shared"}, build)
    assert (path / "data").read_text() == "whole"


def test_processes_that_ask_together_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    gate, log = context.Barrier(4), tmp_path / "log"
    processes = [context.Process(target=_make_slowly, args=(log, gate)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [p.exitcode for p in processes] == [0] * 4
    assert len(log.read_text().splitlines()) == 1


KILLED = """
import os, signal
from honed import artifacts

def build(folder):
    (folder / "data").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

artifacts.make("kind", {"name": "killed"}, build)
"""


@pytest.fixture
def killed(cache):
    """What a build that was killed leaves behind."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)])
    assert done.returncode == -signal.SIGKILL
    (staging,) = [p for p in (cache / "kind").iterdir() if p.is_dir()]
    assert (staging / "data").read_text() == "half"
    return staging


def test_a_killed_build_is_not_taken_for_whole(killed, cache):
    assert artifacts.entries() == []
    path = put("killed")
    assert (path / "data").read_bytes() == b"x" * 100
    assert [p for p in (cache / "kind").iterdir() if p.is_dir()] == [path]


def test_pruning_sweeps_what_killed_builds_left(killed):
    assert artifacts.prune(10**9) == []
    assert not killed.exists()


def test_pruning_leaves_a_build_that_goes_on(cache):
    def build(folder):
        assert artifacts.prune(0) == []
        (folder / "data").write_text("whole")

    path = artifacts.make("kind", {"name": "going on"}, build)
    assert (path / "data").read_text() == "whole"


class TestPruning:
    def test_the_least_recently_used_go_first(self):
        for age, name in enumerate("abcd"):
            put(name, 1000, used=10_000 - age)
        each = artifacts.entries()[0].size_bytes
        removed = artifacts.prune(2 * each)
        assert [a.about["name"] for a in removed] == ["c", "d"]
        assert names() == ["a", "b"]
        assert not removed[0].path.exists()

    def test_what_is_kept_stays_and_counts(self):
        old = put("old", 1000, used=1000)
        put("new", 1000, used=2000)
        artifacts.prune(0, keep=(old,))
        assert names() == ["old"]

    def test_what_may_be_in_use_stays(self):
        put("old", used=1000)
        put("now", used=time.time() - 5)
        artifacts.prune(0, unused_for_s=60)
        assert names() == ["now"]

    def test_making_keeps_the_cache_within_its_bound(self, monkeypatch):
        monkeypatch.setenv("HONED_CACHE_MAX_GIB", str(3000 / 2**30))
        put("old", 1000, used=1000)
        put("older", 1000, used=500)
        put("new", 1500)
        assert names() == ["new", "old"]

    def test_making_spares_what_the_same_run_uses(self, monkeypatch):
        """Weights, then the export made from them: together over the bound, both needed."""
        monkeypatch.setenv("HONED_CACHE_MAX_GIB", "0")
        put("weights")
        put("export")
        assert sorted(names()) == ["export", "weights"]

    def test_an_unreadable_description_does_not_stop_it(self):
        path = put("a")
        (path / "honed.json").write_text("{")
        (entry,) = artifacts.entries()
        assert entry.about == {}
        assert [a.path for a in artifacts.prune(0)] == [path]
        assert not path.exists()

    def test_an_empty_cache(self):
        assert artifacts.entries() == []
        assert artifacts.prune(0) == []

    @given(
        sizes=st.lists(st.integers(0, 500), max_size=6),
        limit_bytes=st.integers(0, 4000),
    )
    def test_the_rest_fits_and_nothing_goes_in_vain(self, sizes, limit_bytes, tmp_path_factory):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HONED_CACHE", str(tmp_path_factory.mktemp("cache")))
            for index, size in enumerate(sizes):
                put(str(index), size, used=1000 + index)
            before = artifacts.entries()
            removed = artifacts.prune(limit_bytes)
            after = artifacts.entries()
            assert sum(a.size_bytes for a in after) <= limit_bytes
            assert {a.path for a in after} | {a.path for a in removed} == {a.path for a in before}
            for gone in removed:
                newer = sum(a.size_bytes for a in after if a.used > gone.used)
                assert newer + gone.size_bytes > limit_bytes


class TestRoot:
    def test_the_users_cache_by_default(self, monkeypatch, tmp_path):
        monkeypatch.delenv("HONED_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert artifacts.root() == tmp_path / "honed"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert artifacts.root() == tmp_path / ".cache" / "honed"

    def test_the_bound(self, monkeypatch):
        assert artifacts.max_bytes() == 20 * 2**30
        monkeypatch.setenv("HONED_CACHE_MAX_GIB", "0.5")
        assert artifacts.max_bytes() == 2**29

    @pytest.mark.parametrize("word", ["many", "nan", "inf", ""])
    def test_a_bound_that_is_no_number(self, monkeypatch, word):
        monkeypatch.setenv("HONED_CACHE_MAX_GIB", word)
        with pytest.raises(UsageError, match="HONED_CACHE_MAX_GIB"):
            artifacts.max_bytes()


class TestFaults:
    def test_a_cache_that_is_no_folder(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HONED_CACHE", str(tmp_path / "file"))
        with pytest.raises(HonedError, match="cannot write to the cache") as raised:
            put("a")
        assert raised.value.hint == "set HONED_CACHE to another folder"  # space would not help

    def test_a_full_disk(self):
        def build(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(HonedError, match="No space left") as raised:
            artifacts.make("kind", {}, build)
        assert "prune" in raised.value.hint

    def test_the_builds_own_trouble_is_its_own(self):
        def build(_):
            raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere")

        with pytest.raises(PermissionError):
            artifacts.make("kind", {}, build)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), max_size=5))
def test_the_key_is_of_the_facts_not_of_their_order(about):
    backwards = dict(reversed(about.items()))
    assert artifacts.content_key(about) == artifacts.content_key(backwards)
    assert artifacts.content_key(about) != artifacts.content_key({**about, "more\0": 1})
