import os

import pytest
from children import prove
from test_libraries import library

from honed.errors import UnsupportedError
from honed.machine import libraries, spawn
from honed.machine.knobs import allocator

# Several threads that allocate at the same time, each from an arena of its own if it may.
THREADS = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(8)
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
pool = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in pool]
[t.join() for t in pool]
from honed.machine.knobs import allocator
print(allocator.arenas_in_use())
"""


@pytest.mark.parametrize("name", ["glibc", "jemalloc", "tcmalloc", "mimalloc"])
def test_a_real_child_uses_the_allocator_of_the_knob(name):
    assert prove({"allocator": name}) == ([], {"allocator": name})


def test_the_knobs_library_goes_before_an_inherited_preload():
    inherited = {**os.environ, "LD_PRELOAD": str(allocator.find("jemalloc"))}
    _, found = prove({"allocator": "mimalloc"}, environment=inherited)
    assert found == {"allocator": "mimalloc"}


def test_a_preload_that_the_linker_drops_is_not_read_back(tmp_path):
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "libjemalloc.so.2")}
    _, found = prove({}, environment=environment, names=["allocator"])
    assert found == {"allocator": "glibc"}


def test_a_mapped_library_that_does_not_provide_malloc_is_not_read_back():
    path = allocator.find("mimalloc")
    _, found = prove({}, f"import ctypes; ctypes.CDLL({str(path)!r})", names=["allocator"])
    assert found == {"allocator": "glibc"}


def test_glibc_under_an_inherited_preload_is_refused_with_a_hint(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/x/libfoo.so:/x/libjemalloc.so.2")
    with pytest.raises(UnsupportedError, match=r"already loads /x/libjemalloc.so.2") as caught:
        spawn.fold({"allocator": "glibc"}, os.environ)
    assert caught.value.hint == "unset LD_PRELOAD"


@pytest.mark.parametrize("name", ["jemalloc", "tcmalloc", "mimalloc"])
def test_a_missing_allocator_names_its_package(tmp_path, name):
    library(tmp_path, "etc/os-release", b"ID=debian\n")
    found = allocator.available_value(name, tmp_path)
    assert not found.ok
    assert found.how.startswith("apt-get install lib")
    assert allocator.find(name, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("jemalloc", ["usr/lib64/libjemalloc.so.2"], "libjemalloc.so.2"),
        ("tcmalloc", ["lib/libtcmalloc.so.4", "lib/libtcmalloc_minimal.so.4"], "libtcmalloc_minimal.so.4"),  # noqa: E501
        ("tcmalloc", ["opt/conda/lib/libtcmalloc.so"], "libtcmalloc.so"),
        ("mimalloc", ["lib/libmimalloc-secure.so.2", "lib/libmimalloc.so.2"], "libmimalloc.so.2"),
    ],
)  # fmt: skip
def test_allocators_in_other_folders(tmp_path, name, files, expected):
    for file in files:
        library(tmp_path, file)
    assert allocator.find(name, tmp_path).name == expected
    assert allocator.available_value(name, tmp_path).ok


def test_musl_has_neither_glibc_nor_arenas(monkeypatch):
    monkeypatch.setattr(libraries, "glibc_version", lambda: None)
    assert not allocator.available_value("glibc").ok
    with pytest.raises(UnsupportedError, match="only glibc has arenas"):
        spawn.fold({"malloc_arenas": 2}, {})


@pytest.mark.parametrize("arenas", [1, 2])
def test_a_real_child_keeps_to_its_arenas(arenas):
    assert prove({"malloc_arenas": arenas}, THREADS) == ([], {"malloc_arenas": arenas})
    inherited = {**os.environ, "MALLOC_ARENA_MAX": str(arenas)}
    _, found = prove({}, THREADS, inherited, ["malloc_arenas"])
    assert found == {"malloc_arenas": arenas}


def test_arenas_are_not_read_back_under_another_allocator():
    _, found = prove({"malloc_arenas": 1, "allocator": "jemalloc"})
    assert found == {"malloc_arenas": None, "allocator": "jemalloc"}


def test_an_arena_limit_that_was_exceeded_is_not_read_back(monkeypatch):
    monkeypatch.setattr(libraries, "initial_environment", lambda: {"MALLOC_ARENA_MAX": "1"})
    monkeypatch.setattr(allocator, "arenas_in_use", lambda: 3)
    assert allocator.arenas_here() is None
    monkeypatch.setattr(allocator, "arenas_in_use", lambda: 1)
    assert allocator.arenas_here() == 1
