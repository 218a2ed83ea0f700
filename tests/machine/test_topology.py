import os
import subprocess

import trees
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.machine.topology import format_cpus, parse_cpus, read


def test_c5_metal(tmp_path):
    found = read(trees.c5_metal().write(tmp_path))
    assert len(found.cpus) == 96
    assert len(found.cores()) == 48
    assert found.siblings(0) == found.siblings(48) == (0, 48)
    assert found.siblings(47) == (47, 95)
    assert found.physical() == tuple(range(48))
    by_node = {n: format_cpus(c.id for c in found.cpus if c.node == n) for n in found.nodes}
    assert by_node == {0: "0-23,48-71", 1: "24-47,72-95"}
    assert {c.socket for c in found.cpus if c.node == 1} == {1}
    assert sum(found.nodes.values()) == 192 * 2**30


def test_same_core_id_in_two_sockets_is_two_cores(tmp_path):
    found = read(trees.c5_metal().write(tmp_path))
    core = {c.id: c.core for c in found.cpus}
    assert core[0] != core[24]  # both have core_id 0


def test_ice_lake_and_epyc(tmp_path):
    found = read(trees.ice_lake().write(tmp_path / "a"))
    assert format_cpus(c.id for c in found.cpus if c.node == 1) == "40-79,120-159"
    found = read(trees.epyc().write(tmp_path / "b"))
    assert len(found.nodes) == 8
    assert {c.socket for c in found.cpus if c.node == 3} == {0}
    assert {c.socket for c in found.cpus if c.node == 4} == {1}


def test_laptop_kinds_and_frequencies(tmp_path):
    found = read(trees.laptop().write(tmp_path))
    assert {c.id for c in found.cpus if c.kind == "performance"} == set(range(12))
    assert {c.id for c in found.cpus if c.kind == "efficiency"} == set(range(12, 20))
    assert found.siblings(3) == (2, 3)
    assert found.siblings(15) == (15,)
    assert found.cpus[0].max_mhz == 4700
    assert len(found.cores()) == 14


def test_low_capacity_marks_little_cores_but_not_favoured_ones(tmp_path):
    found = read(trees.phone_like().write(tmp_path / "a"))
    assert [c.kind for c in found.cpus] == ["efficiency"] * 4 + ["performance"] * 4
    favoured = trees.adjacent()
    favoured.capacity = {id: 1024 if id < 4 else 990 for id in range(16)}
    found = read(favoured.write(tmp_path / "b"))
    assert {c.kind for c in found.cpus} == {"standard"}


def test_offline_core_is_not_used_and_its_sibling_stands_alone(tmp_path):
    found = read(trees.offline_core().write(tmp_path))
    assert found.offline == (2,)
    assert [c.id for c in found.cpus] == [0, 1, 3, 4, 5, 6, 7]
    assert found.siblings(6) == (6,)
    assert found.siblings(2) == ()
    assert found.physical() == (0, 1, 3, 6)


def test_memory_less_node_uses_the_nearest(tmp_path):
    found = read(trees.memoryless().write(tmp_path))
    assert found.nodes[1] == 0
    assert found.memory_nodes([1]) == (2,)
    assert found.memory_nodes([0, 1]) == (0, 2)


def test_caches_are_listed_once(tmp_path):
    found = read(trees.c5_metal().write(tmp_path))
    shared = [c for c in found.caches if c.level == 3]
    assert len(shared) == 2
    assert shared[0].size_bytes == 32 * 2**20
    assert len(shared[0].cpus) == 48
    assert len([c for c in found.caches if (c.level, c.kind) == (1, "data")]) == 48


def test_no_sysfs_gives_one_core_per_cpu(tmp_path):
    found = read(tmp_path)
    assert {c.id for c in found.cpus} == os.sched_getaffinity(0)
    assert len(found.cores()) == len(found.cpus)


def test_no_numa_and_nonsense_in_files(tmp_path):
    for cpu in range(2):
        trees.put(tmp_path / f"devices/system/cpu/cpu{cpu}/topology/physical_package_id", "-1")
        trees.put(tmp_path / f"devices/system/cpu/cpu{cpu}/topology/core_cpus_list", "what?")
    found = read(tmp_path)
    assert [(c.id, c.core, c.socket, c.node) for c in found.cpus] == [(0, 0, 0, 0), (1, 1, 0, 0)]
    assert list(found.nodes) == [0]


def test_this_machine_agrees_with_lscpu():
    text = subprocess.run(
        ["lscpu", "-p=CPU,CORE,NODE"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    listed = [tuple(int(field or 0) for field in row) for row in rows]  # no NUMA: no node
    machine = read()
    assert [(c.id, c.core, c.node) for c in machine.cpus] == listed
    assert all(size > 2**20 for size in machine.nodes.values())


@settings(deadline=None)
@given(st.sets(st.integers(0, 300)))
def test_cpu_lists_round_trip(cpus):
    assert parse_cpus(format_cpus(cpus)) == tuple(sorted(cpus))


def test_cpu_list_words():
    assert format_cpus([3, 1, 2, 8]) == "1-3,8"
    assert parse_cpus(" 0-3,8\n") == (0, 1, 2, 3, 8)
    assert parse_cpus("") == ()
