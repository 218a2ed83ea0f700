import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import put

from honed.machine import limits
from honed.machine.limits import Limits

V1_UNLIMITED = str(9223372036854771712)


def proc(root: Path, groups: str, mounts: list[str]) -> Path:
    put(root / "proc/self/cgroup", groups)
    put(root / "proc/self/mountinfo", "\n".join(mounts))
    return root


def v1(controllers: str, point: str, source: str = "/") -> str:
    return f"32 31 0:29 {source} {point} rw,relatime shared:9 - cgroup cgroup rw,{controllers}"


def v2(point: str = "/sys/fs/cgroup", source: str = "/") -> str:
    return f"41 31 0:38 {source} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def test_no_groups_at_all(tmp_path):
    found = limits.read(tmp_path, affinity=[0, 1, 5])
    assert found == Limits((0, 1, 5), None, None, {"affinity": "0-1,5"})
    assert found.effective_count == 3


def test_docker_two_cpus_on_a_96_core_host_v2(tmp_path):
    """In a container the group's own namespace makes its path "/"."""
    root = proc(tmp_path, "0::/", [v2()])
    put(root / "sys/fs/cgroup/cpu.max", "200000 100000")
    put(root / "sys/fs/cgroup/memory.max", str(4 * 2**30))
    found = limits.read(root, affinity=range(96))
    assert (found.quota, found.effective_count, found.memory_bytes) == (2.0, 2, 4 * 2**30)
    assert len(found.cpus) == 96
    assert found.why["quota"].startswith("2 CPUs by ")
    assert "cpu.max" in found.why["quota"]


def test_docker_v1_mounts_show_another_namespaces_path(tmp_path):
    group = "/docker/0123abcd"
    root = proc(
        tmp_path,
        f"4:memory:{group}\n3:cpu,cpuacct:{group}\n2:cpuset:{group}",
        [
            v1("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", group),
            v1("memory", "/sys/fs/cgroup/memory", group),
            v1("cpuset", "/sys/fs/cgroup/cpuset", group),
        ],
    )
    put(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000")
    put(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
    put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912")
    put(root / "sys/fs/cgroup/cpuset/cpuset.cpus", "4-7")
    found = limits.read(root, affinity=range(16))
    assert found.quota == 1.5
    assert found.effective_count == 1
    assert found.memory_bytes == 2**29
    assert found.cpus == (4, 5, 6, 7)
    assert found.why["cpuset"].startswith("4-7 by ")


def test_every_ancestor_counts(tmp_path):
    root = proc(tmp_path, "0::/user.slice/job.scope/leaf", [v2()])
    base = root / "sys/fs/cgroup/user.slice"
    put(base / "job.scope/leaf/cpu.max", "max 100000")
    put(base / "job.scope/leaf/memory.max", "max")
    put(base / "job.scope/cpu.max", "800000 100000")
    put(base / "job.scope/memory.max", str(8 * 2**30))
    put(base / "cpu.max", "50000 20000")
    put(base / "memory.max", str(16 * 2**30))
    put(base / "job.scope/cpuset.cpus.effective", "0-3")
    found = limits.read(root, affinity=range(8))
    assert found.quota == 2.5
    assert found.effective_count == 2
    assert found.memory_bytes == 8 * 2**30
    assert found.cpus == (0, 1, 2, 3)


def test_hybrid_mounts_use_whichever_has_the_controller(tmp_path):
    root = proc(
        tmp_path,
        "3:memory:/box\n1:cpu:/box\n5:name=systemd:/\n0::/other",
        [
            v1("cpu", "/sys/fs/cgroup/cpu"),
            v1("memory", "/sys/fs/cgroup/memory"),
            v1("name=systemd", "/sys/fs/cgroup/systemd"),
            v2("/sys/fs/cgroup/unified"),
        ],
    )
    put(root / "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "300000")
    put(root / "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000")
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    put(root / "sys/fs/cgroup/memory/box/memory.limit_in_bytes", V1_UNLIMITED)
    put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", V1_UNLIMITED)
    put(root / "sys/fs/cgroup/unified/other/cgroup.procs", "1")
    found = limits.read(root, affinity=range(8))
    assert found.quota == 3.0
    assert found.memory_bytes is None


@pytest.mark.parametrize("group", ["/../elsewhere", "/vanished/group"])
def test_a_path_that_is_not_here_falls_back_to_the_mount(tmp_path, group):
    root = proc(tmp_path, f"0::{group}", [v2()])
    put(root / "sys/fs/cgroup/cpu.max", "100000 100000")
    assert limits.read(root, affinity=range(4)).effective_count == 1


def test_nonsense_is_no_limit(tmp_path):
    root = proc(tmp_path, "0::/\nrubbish", [v2(), "short line", ""])
    put(root / "sys/fs/cgroup/cpu.max", "lots of 0")
    put(root / "sys/fs/cgroup/memory.max", "plenty")
    put(root / "sys/fs/cgroup/cpuset.cpus.effective", "a-b")
    found = limits.read(root, affinity=range(4))
    assert (found.cpus, found.quota, found.memory_bytes) == ((0, 1, 2, 3), None, None)


def test_a_cpuset_without_any_of_our_cpus_is_stale(tmp_path):
    root = proc(tmp_path, "0::/", [v2()])
    put(root / "sys/fs/cgroup/cpuset.cpus.effective", "8-9")
    assert limits.read(root, affinity=[0, 1]).cpus == (0, 1)


def test_mount_points_with_spaces(tmp_path):
    root = proc(tmp_path, "0::/", [v2("/my\\040groups")])
    put(root / "my groups/cpu.max", "100000 50000")
    assert limits.read(root, affinity=range(4)).quota == 2.0


@settings(deadline=None)
@given(st.integers(1, 512), st.none() | st.floats(0.01, 600))
def test_effective_count(cpus, quota):
    count = Limits(tuple(range(cpus)), quota).effective_count
    assert 1 <= count <= cpus
    assert quota is None or count <= max(1, quota)
    assert quota is not None or count == cpus


def test_json():
    data = json.loads(json.dumps(Limits((0, 1, 2), 1.5, 10, {"quota": "x"}).to_json()))
    assert data["cpus"] == "0-2"
    assert data["effective_cpus"] == 1


@pytest.mark.parametrize(
    ("groups", "mount", "name"),
    [
        ("0::/box", v2("/cg"), "memory.events"),
        ("4:memory:/box", v1("memory", "/cg"), "memory.oom_control"),
    ],
)
def test_each_kill_for_memory_raises_the_count(tmp_path, groups, mount, name):
    root = proc(tmp_path, groups, [mount])
    assert limits.memory_kills(root) == 0
    put(root / "proc/vmstat", "pgfault 9\noom_kill 3")
    before = limits.memory_kills(root)
    put(root / "cg/box" / name, "oom 7\noom_kill 1")
    assert limits.memory_kills(root) == before + 1
    put(root / "proc/vmstat", "pgfault 9\noom_kill 4")
    assert limits.memory_kills(root) == before + 2


# Real control groups: a child inside a group that the test makes.

CHILD = """
import json, os, sys
for procs in sys.argv[1:]:
    open(procs, "w").write(str(os.getpid()))
from honed.machine import limits
found = limits.read()
print(json.dumps([list(found.cpus), found.quota, found.memory_bytes, found.effective_count]))
"""


@contextlib.contextmanager
def real_group(controller: str, settings: dict[int, dict[str, str]]):
    """A fresh top-level group, set by version; skips where this machine lets nobody make one."""
    # The mount itself: version 2 gives no controllers to the children of a group that has
    # processes of its own, and ours has.
    tops = {version: folder for folder, version in limits.groups(controller)}
    for version, top in sorted(tops.items()):
        made = top / f"honed-test-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            if all((made / name).exists() for name in settings[version]):
                for name, value in settings[version].items():
                    (made / name).write_text(value)
                yield made / "cgroup.procs"
                return
        finally:
            made.rmdir()
    pytest.skip(f"no {controller} group can be made here")


def inside(*procs: Path) -> list:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, procs)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_real_cpu_and_memory_groups():
    before = limits.read()
    cpu = {
        1: {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        2: {"cpu.max": "150000 100000"},
    }
    memory = {1: {"memory.limit_in_bytes": str(2**30)}, 2: {"memory.max": str(2**30)}}
    with real_group("cpu", cpu) as a, real_group("memory", memory) as b:
        cpus, quota, memory_bytes, effective = inside(a, b)
    assert cpus == list(before.cpus)
    assert quota == min(1.5, before.quota or 1.5)
    assert memory_bytes == 2**30
    assert effective == 1


def test_real_cpuset():
    first = limits.read().cpus[0]
    settings = {"cpuset.cpus": str(first), "cpuset.mems": "0"}
    with real_group("cpuset", {1: settings, 2: settings}) as procs:
        cpus, _, _, effective = inside(procs)
    assert cpus == [first]
    assert effective == 1
