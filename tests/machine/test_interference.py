import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import put

from honed.machine.interference import Snapshot, Watch, doubts, others_share
from honed.phase import Phase

HZ = os.sysconf("SC_CLK_TCK")
BEFORE = Snapshot(100.0, (0, 1), busy_s=50.0, steal_s=1.0)


def after(wall_s=10.0, **changes):
    return dataclasses.replace(BEFORE, at_s=BEFORE.at_s + wall_s, **changes)


def kinds(before, later, own_cpu_s=0.0):
    return [d.kind for d in doubts(before, later, own_cpu_s)]


def test_the_work_of_the_workers_raises_no_doubt():
    assert doubts(BEFORE, after(busy_s=69.9), own_cpu_s=19.8) == ()


def test_other_load_names_its_share_and_what_to_do():
    (doubt,) = doubts(BEFORE, after(busy_s=69.6), own_cpu_s=15.0)
    assert doubt.kind == "other_load"
    assert "other processes used 23% of the measured cores (0-1)" in doubt.message
    assert "taskset" in doubt.message


def test_a_few_ticks_in_a_short_window_are_no_doubt():
    assert others_share(BEFORE, after(0.1, busy_s=50.04), 0.0) == 0.0
    assert kinds(BEFORE, after(0.0, busy_s=51.0)) == []


def test_steal():
    (doubt,) = doubts(BEFORE, after(steal_s=2.0), 0.0)
    assert doubt.kind == "steal"
    assert "5%" in doubt.message


def test_quota():
    before = dataclasses.replace(BEFORE, quota_throttles=3, quota_throttled_s=1.0)
    later = after(quota_throttles=12, quota_throttled_s=1.75)
    (doubt,) = doubts(before, later, 0.0)
    assert doubt.kind == "quota"
    assert "9 times (0.75 s" in doubt.message
    assert kinds(before, after(quota_throttles=3, quota_throttled_s=1.0)) == []


def test_a_falling_clock_counts_only_under_the_performance_governor():
    before = dataclasses.replace(BEFORE, clock_mhz=(3000, 3500), governor="performance")
    assert kinds(before, after(clock_mhz=(2000, 2900))) == ["frequency"]
    assert kinds(before, after(clock_mhz=(2000, 3300))) == []
    lazy = dataclasses.replace(before, governor="powersave")
    assert kinds(lazy, after(clock_mhz=(800, 800))) == []


def test_heat():
    before = dataclasses.replace(BEFORE, thermal_throttles=5)
    assert kinds(before, after(thermal_throttles=7)) == ["thermal"]
    assert kinds(before, after(thermal_throttles=5)) == []


def test_memory_pressure():
    before = dataclasses.replace(BEFORE, pressure_s={"memory": 1.0}, swapped_pages=10)
    (doubt,) = doubts(before, after(pressure_s={"memory": 1.5}, swapped_pages=10), 0.0)
    assert doubt.kind == "memory_pressure"
    assert "5%" in doubt.message
    swapped = after(pressure_s={"memory": 1.0}, swapped_pages=90)
    assert "80 pages" in doubts(before, swapped, 0.0)[0].message


def test_a_kernel_without_counters_raises_no_doubt(tmp_path):
    blind = Watch([0, 1], root=tmp_path)
    assert doubts(blind.take(), blind.take(), 5.0) == ()
    assert others_share(blind.take(), blind.take(), 5.0) is None


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.01, 100))
def test_the_share_of_others_lies_between_0_and_1(busy_s, own_s, wall_s):
    share = others_share(BEFORE, after(wall_s, busy_s=50 + busy_s), own_s)
    assert 0.0 <= share <= 1.0


@pytest.fixture
def root(tmp_path):
    put(
        tmp_path / "proc/stat",
        "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 100 10 20 900 5 1 2 7 50 0\n"
        "cpu1 200 0 0 0 0 0 0 0 0 0\ncpu10 999 999 999 9 9 9 9 9 9 9\nctxt 1234",
    )
    put(tmp_path / "proc/pressure/memory", "some avg10=0.00 total=2500000\nfull avg10=0 total=9")
    put(tmp_path / "proc/vmstat", "pswpin 3\npswpout 4\nother 9")
    base = tmp_path / "sys/devices/system/cpu"
    for cpu, khz in ((0, "3000000"), (1, "2500000"), (10, "1")):
        put(base / f"cpu{cpu}/cpufreq/scaling_cur_freq", khz)
        put(base / f"cpu{cpu}/cpufreq/scaling_governor", "performance")
        put(base / f"cpu{cpu}/thermal_throttle/core_throttle_count", "4")
    put(tmp_path / "proc/self/cgroup", "0::/job")
    put(tmp_path / "proc/self/mountinfo", "1 1 0:1 / /cg rw - cgroup2 cgroup2 rw")
    put(tmp_path / "cg/job/cpu.stat", "nr_periods 9\nnr_throttled 5\nthrottled_usec 1500000")
    put(tmp_path / "cg/cpu.stat", "usage_usec 1")
    return tmp_path


def test_a_snapshot_reads_only_its_cpus(root):
    found = Watch([1, 0], root).take()
    assert found.cpus == (0, 1)
    assert found.busy_s == pytest.approx(333 / HZ)
    assert found.steal_s == pytest.approx(7 / HZ)
    assert found.switches == 1234
    assert found.swapped_pages == 7
    assert found.pressure_s == {"memory": 2.5}
    assert found.clock_mhz == (2500, 3000)
    assert found.governor == "performance"
    assert found.thermal_throttles == 8
    assert (found.quota_throttles, found.quota_throttled_s) == (5, 1.5)


def test_the_window_opens_with_the_last_and_closes_with_the_first(root):
    watched = Watch([0], root)
    assert watched.doubts(0.0) == ()
    for phase in (Phase.WARMING_UP, Phase.MEASURING, Phase.MEASURING):
        opened = watched.before
        watched.hear(phase)
    assert watched.before is not opened
    watched.hear(Phase.MEASURED)
    closed = watched.after
    for phase in (Phase.MEASURED, Phase.MEASURING, Phase.EVALUATING):
        watched.hear(phase)
    assert watched.after is closed
    assert watched.before.at_s < closed.at_s


def cpu_seconds(pid):
    """The CPU time of a process so far: its utime and stime (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def test_a_process_on_the_measured_core_raises_a_doubt():
    cpu = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{cpu}])\nprint(flush=True)\nwhile True: pass"
    watched = Watch([cpu])
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as intruder:
        try:
            intruder.stdout.readline()
            before, used_s = watched.take(), cpu_seconds(intruder.pid)
            # Until it has had half a second of the core, however busy the machine is.
            while cpu_seconds(intruder.pid) - used_s < 0.5:
                time.sleep(0.05)
            later = watched.take()
        finally:
            intruder.kill()
    assert "other_load" in [d.kind for d in doubts(before, later, 0.0)]
