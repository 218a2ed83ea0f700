import json
import multiprocessing
import os
import subprocess
import sys

import pytest

from honed.instruments import memory

MIB = 2**20


def in_child(code, *args):
    """Run `code` in a fresh process; what it prints last is JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


_REPORT = """
import json, sys, mmap, os
from honed.instruments import memory
MIB = 2**20
def report(peak, before):
    print(json.dumps({"total": peak.total_bytes - before.rss_bytes,
        "anon": peak.anon_bytes - before.anon_bytes,
        "file": peak.file_bytes - before.file_bytes,
        "after": memory.status().rss_bytes - before.rss_bytes}))
"""

_FREED = (
    _REPORT
    + """
every = None if sys.argv[1] == "unsampled" else 0.001
before = memory.status()
with memory.ResidentPeak(every) as peak:
    block = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, 64 * MIB, 4096):
        block[page] = 1
    block.close()
report(peak, before)
"""
)

_EARLIER = (
    _REPORT
    + """
block = bytearray(64 * MIB)
block = None
before = memory.status()
with memory.ResidentPeak() as peak:
    pass
report(peak, before)
"""
)

_MAPPED = (
    _REPORT
    + """
before = memory.status()
with memory.ResidentPeak() as peak:
    file = open(sys.argv[1], "rb")
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    total = sum(view[i] for i in range(0, len(view), 4096))
report(peak, before)
"""
)

_NUMPY = (
    _REPORT
    + """
import numpy as np
before = memory.status()
with memory.ResidentPeak() as peak:
    first = np.ones(64 * MIB, dtype=np.uint8)
    del first
    second = np.ones(16 * MIB, dtype=np.uint8)
report(peak, before)
"""
)


@pytest.mark.parametrize("how", ["sampled", "unsampled"])
def test_a_peak_is_seen_although_the_memory_was_freed(how):
    found = in_child(_FREED, how)
    assert found["total"] == pytest.approx(64 * MIB, abs=2 * MIB)
    assert found["anon"] == pytest.approx(64 * MIB, abs=2 * MIB)
    assert found["file"] < 2 * MIB
    assert found["after"] < 2 * MIB


def test_arrays_that_never_live_together_are_not_added_up():
    found = in_child(_NUMPY)
    assert found["anon"] == pytest.approx(64 * MIB, abs=2 * MIB)


def test_what_was_freed_before_the_block_is_forgotten():
    found = in_child(_EARLIER)
    assert found["total"] < 2 * MIB


def test_mapped_files_count_as_file_not_anonymous(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"\1" * (64 * MIB))
    found = in_child(_MAPPED, weights)
    assert found["file"] == pytest.approx(64 * MIB, abs=2 * MIB)
    assert found["total"] == pytest.approx(64 * MIB, abs=2 * MIB)
    assert found["anon"] < 2 * MIB


def test_status_adds_up():
    now = memory.status()
    kinds = now.anon_bytes + now.file_bytes + now.shmem_bytes
    assert kinds == pytest.approx(now.rss_bytes, abs=MIB)
    assert now.peak_bytes >= now.rss_bytes - MIB
    assert now.anon_bytes > MIB


def test_without_permission_there_is_a_note_and_no_number(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("VmHWM:\t 5 kB\n")
    monkeypatch.setattr(memory, "_SELF", tmp_path)
    (tmp_path / "clear_refs").mkdir()  # cannot be written, whoever asks
    with memory.ResidentPeak() as peak:
        pass
    assert peak.total_bytes is peak.anon_bytes is peak.file_bytes is peak.shmem_bytes is None
    assert "clear_refs" in peak.note


def test_status_is_parsed_in_bytes(monkeypatch, tmp_path):
    (tmp_path / "status").write_text(
        "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t   10 kB\nRssAnon:\t 4 kB\nRssFile:\t 6 kB\n"
    )
    monkeypatch.setattr(memory, "_SELF", tmp_path)
    assert memory.status() == memory.Resident(20480, 10240, 4096, 6144, 0)


def test_pss_counts_shared_pages_by_share():
    own = memory.pss_bytes()
    assert own == pytest.approx(memory.pss_bytes(os.getpid()), rel=0.2)
    assert 0 < own <= memory.status().rss_bytes + MIB


def test_pss_of_a_process_that_has_gone():
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    assert memory.pss_bytes(child.pid) is None


def test_an_error_inside_the_block_goes_through_and_ends_the_sampler():
    peak = memory.ResidentPeak(0.001)
    with pytest.raises(RuntimeError), peak:
        raise RuntimeError
    assert peak._thread is not None
    assert not peak._thread.is_alive()
