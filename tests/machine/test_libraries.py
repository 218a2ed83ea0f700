import sys
from pathlib import Path

import pytest

from honed.machine import libraries

# Enough of this interpreter's own file to pass for a library of its architecture.
OWN = Path(sys.executable).read_bytes()[:64]
FOREIGN = OWN[:18] + bytes([OWN[18] ^ 0xFF]) + OWN[19:]


@pytest.fixture(autouse=True)
def no_conda(monkeypatch):
    monkeypatch.delenv("CONDA_PREFIX", raising=False)


def library(root, path, content=OWN):
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/x86_64-linux-gnu/libx.so.2",  # Debian
        "usr/lib/aarch64-linux-gnu/libx.so.2",
        "usr/lib64/libx.so.2",  # Fedora
        "usr/lib/libx.so.2",  # Alpine, Arch
        "usr/lib/llvm-14/lib/libx.so",
        "usr/local/lib/libx.so",
        "opt/conda/lib/libx.so",
        f"{sys.prefix}/lib/libx.so",
    ],
)
def test_the_usual_places(tmp_path, path):
    made = library(tmp_path, path)
    assert libraries.find(["libx"], tmp_path) == made


def test_an_active_conda_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", "/home/me/env")
    made = library(tmp_path, "home/me/env/lib/libx.so.3")
    assert libraries.find(["libx"], tmp_path) == made


def test_the_newest_wins_by_number(tmp_path):
    for name in ("libx.so", "libx.so.9", "libx.so.10", "libx_debug.so.11", "libx.so.12.gz"):
        library(tmp_path, f"usr/lib64/{name}")
    library(tmp_path, "usr/lib/libx.so.2")
    assert libraries.find(["libx"], tmp_path).name == "libx.so.10"


def test_first_folders_and_first_names_win(tmp_path):
    library(tmp_path, "usr/lib/libx.so.9")
    mine = library(tmp_path, "torch/lib/libx.so.1")
    assert libraries.find(["libx"], tmp_path, first=[Path("/torch/lib")]) == mine
    other = library(tmp_path, "usr/lib/libsmall.so.1")
    assert libraries.find(["libsmall", "libx"], tmp_path) == other


def test_another_architectures_and_text_files_are_passed_over(tmp_path):
    library(tmp_path, "usr/lib/i386-linux-gnu/libx.so.9", FOREIGN)
    library(tmp_path, "usr/lib/libx.so", b"INPUT(libreal.so)")
    library(tmp_path, "usr/lib/libx.so.3", b"")
    (tmp_path / "usr/lib/libx.so.8").symlink_to("nowhere")
    assert libraries.find(["libx"], tmp_path) is None
    good = library(tmp_path, "usr/lib64/libx.so.1")
    assert libraries.find(["libx"], tmp_path) == good


def test_the_file_behind_a_link_decides(tmp_path):
    library(tmp_path, "usr/lib/libomp.so")
    (tmp_path / "usr/lib/libiomp5.so").symlink_to("libomp.so")
    found = libraries.find(["libiomp5"], tmp_path, accept=lambda p: p.name == "libiomp5.so")
    assert found is None


@pytest.mark.parametrize(
    ("release", "how"),
    [
        ("ID=debian", "apt"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian', "apt"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf"),
        ("ID=alpine", "apk"),
        ("ID=nixos", "conda"),
        ("", "conda"),
    ],
)
def test_the_command_of_the_distribution(tmp_path, release, how):
    library(tmp_path, "etc/os-release", release.encode())
    packages = {"debian": "apt", "fedora": "dnf", "alpine": "apk", "any": "conda"}
    found = libraries.missing("libx.so", packages, tmp_path)
    assert (found.ok, found.how) == (False, how)
    assert "libx.so" in found.why


def test_what_this_process_uses():
    libc = libraries.providing("malloc")
    assert libc in libraries.mapped(r"\.so|-linux-")
    assert libraries.providing("no_such_symbol_anywhere") is None
    assert libraries.mapped(r"^no-such-file$") == ()


def test_the_initial_environment_is_not_the_present_one(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=77")
    assert libraries.tunable("glibc.malloc.arena_max") != "77"
    monkeypatch.setattr(
        libraries, "initial_environment", lambda: {"GLIBC_TUNABLES": "a=1:b=2:a=3:c"}
    )
    assert [libraries.tunable(name) for name in "abcd"] == ["3", "2", "", None]
