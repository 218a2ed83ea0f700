import os

import pytest
from children import prove

from honed.errors import UnsupportedError
from honed.machine import kernel, libraries, spawn
from honed.machine.knobs import pages

(KNOB,) = pages.KNOBS


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system whose mode is the given one, on a kernel and C library of the given age."""

    def build(mode, release="6.18.1", libc=(2, 36)):
        monkeypatch.setattr(pages, "system_mode", lambda: mode)
        monkeypatch.setattr(pages.platform, "release", lambda: release)
        monkeypatch.setattr(libraries, "glibc_version", lambda: libc)

    return build


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(kernel, "prctl", lambda *a: made.append(a) or 0)
    return made


@pytest.mark.parametrize("value", [v for v in KNOB.values if pages.available_value(v).ok])
def test_a_real_child_has_the_mode_of_the_knob(value):
    assert prove({"thp": value}) == ([], {"thp": value})


@pytest.mark.parametrize("allocator", ["jemalloc", "mimalloc"])
@pytest.mark.skipif(pages.system_mode() == "never", reason="the system forbids huge pages")
def test_other_allocators_use_huge_pages_too(allocator):
    asked = {"thp": "always", "allocator": allocator}
    assert prove(asked) == ([], asked)


def test_a_ban_is_read_back_and_an_inherited_ban_is_lifted():
    ban = "from honed.machine import kernel\nkernel.prctl(kernel.PR_SET_THP_DISABLE, 1)\n"
    _, found = prove({}, ban, names=["thp"])
    assert found == {"thp": "never"}
    _, found = prove({}, f"{ban}spawn.apply_in_child({{'thp': 'always'}})", names=["thp"])
    # Without the ban it is whatever the system gives to memory that asks for nothing.
    assert found == {"thp": pages.system_mode()}


@pytest.mark.parametrize(
    ("mode", "value", "arguments"),
    [
        ("madvise", "always", (0,)),
        ("always", "always", (0,)),
        ("always", "madvise", (1, 2)),
        ("madvise", "madvise", (0,)),
        ("madvise", "never", (1,)),
    ],
)
def test_calls(system, calls, mode, value, arguments):
    system(mode)
    pages.set_thp(value, ())
    assert calls == [(kernel.PR_SET_THP_DISABLE, *arguments)]


def test_allocators_are_advised_only_where_the_mode_needs_it(system, calls):
    system("madvise")
    folded = spawn.fold({"thp": "always"}, {"MALLOC_CONF": "narenas:2,thp:never"})
    assert folded.environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert folded.environment["MALLOC_CONF"] == "narenas:2,thp:always"
    assert folded.in_child == {"thp": "always"}
    system("always")
    assert spawn.fold({"thp": "always"}, {}).environment == {}


@pytest.mark.parametrize(
    ("mode", "value", "release", "libc", "ok"),
    [
        ("never", "always", "6.18.1", (2, 36), False),
        ("never", "madvise", "6.18.1", (2, 36), False),
        ("never", "never", "6.18.1", (2, 36), True),
        ("always", "madvise", "6.17.9", (2, 36), False),
        ("always", "madvise", "6.18.0-rc1", (2, 36), True),
        ("madvise", "always", "6.1.0", (2, 34), False),
        ("madvise", "always", "6.1.0", None, False),
        ("madvise", "always", "6.1.0", (2, 35), True),
    ],
)
def test_what_a_process_can_have(system, mode, value, release, libc, ok):
    system(mode, release, libc)
    found = pages.available_value(value)
    assert found.ok == ok
    assert ok or found.how.startswith("echo ")


@pytest.mark.parametrize(
    ("mode", "disabled", "came", "word"),
    [
        ("always", 0, True, "always"),
        ("always", 0, False, None),  # it should have come
        ("always", 1, True, "never"),
        ("always", 3, False, "madvise"),
        ("madvise", 0, False, "madvise"),
        ("madvise", 0, True, "always"),
        ("never", 0, False, "never"),
    ],
)
def test_the_value_that_describes_the_mode_in_force(
    system, monkeypatch, mode, disabled, came, word
):
    system(mode)
    monkeypatch.setattr(kernel, "prctl", lambda _: disabled)
    monkeypatch.setattr(pages, "_malloc_gives_huge_pages", lambda: came)
    assert pages.thp_here() == word


def test_a_kernel_that_refuses(monkeypatch):
    def refuse(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(kernel, "prctl", refuse)
    (note,) = spawn.apply_in_child({"thp": "never"})
    assert note["kind"] == "thp_refused"
    assert "Invalid argument" in note["message"]
    assert spawn.read_back(["thp"]) == {"thp": None}
    with pytest.raises(UnsupportedError):
        spawn.fold({"thp": "never"}, os.environ)


def test_a_kernel_without_huge_pages(tmp_path):
    assert pages.system_mode(tmp_path) is None
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    assert pages.system_mode(tmp_path) == "never"
