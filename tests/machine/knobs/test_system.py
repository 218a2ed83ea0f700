"""Settings of the whole machine: changed only with permission, restored however a run ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from honed.errors import UnsupportedError
from honed.machine.knobs import pages, system

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_root = pytest.mark.skipif(
    not os.access(THP, os.W_OK), reason="needs the right to change the system's huge-page mode"
)
HONED = str(Path(sys.executable).with_name("honed"))
FAKE = ["model=tiny", "backend=fake", "duration_s=0.1", "warmup_s=0.1", "sequence_length=8"]


@pytest.fixture
def sysfs(tmp_path):
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never")
    return path


def other_mode():
    return "never" if pages.system_mode() != "never" else "madvise"


def test_without_permission_nothing_is_changed(sysfs):
    asked = {"thp_system": "always"}
    with (
        pytest.raises(UnsupportedError) as refused,
        system.changed(asked, allowed=False, path=sysfs),
    ):
        pass
    assert "--allow-system-changes" in refused.value.hint
    assert sysfs.read_text() == "always [madvise] never"


@pytest.mark.parametrize("asked", [{}, {"thp_system": "madvise"}])
def test_a_mode_that_is_already_set_needs_no_permission(sysfs, asked):
    with system.changed(asked, allowed=False, path=sysfs):
        assert sysfs.read_text() == "always [madvise] never"


def test_the_mode_is_restored_after_an_error(sysfs):
    seen = []

    def fails():
        with system.changed({"thp_system": "always"}, allowed=True, path=sysfs):
            seen.append(sysfs.read_text())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert seen == ["always"]
    assert sysfs.read_text() == "madvise"


def test_a_kernel_that_refuses_is_explained(tmp_path):
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never")
    missing = tmp_path / "gone" / "enabled"
    with (
        pytest.raises(UnsupportedError, match="cannot write"),
        system.changed({"thp_system": "always"}, allowed=True, path=missing),
    ):
        pass


@needs_root
def test_a_run_changes_the_mode_proves_it_and_restores_it(tmp_path):
    before, mode = pages.system_mode(), other_mode()
    words = ["run", *FAKE, f"thp_system={mode}", "--json"]
    refused = subprocess.run([HONED, *words], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 1
    assert "--allow-system-changes" in refused.stdout
    done = subprocess.run(
        [HONED, *words, "--allow-system-changes"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f'"thp_system": "{mode}"' in done.stdout.split('"effective"')[1]
    assert pages.system_mode() == before


@needs_root
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_run_restores_the_mode(tmp_path, how):
    before, mode = pages.system_mode(), other_mode()
    words = ["run", *FAKE, "fake.fail=hang", f"thp_system={mode}", "--allow-system-changes"]
    process = subprocess.Popen(
        [HONED, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    deadline = time.monotonic() + 20
    while pages.system_mode() != mode and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pages.system_mode() == mode
    process.send_signal(how)
    process.wait(timeout=20)
    assert pages.system_mode() == before
