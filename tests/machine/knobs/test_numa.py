"""Memory policies on machines of several nodes, from their files, and on this machine's kernel."""

import pytest
import trees
from trees import put

from honed.errors import UnsupportedError
from honed.machine import kernel, topology
from honed.machine.knobs import numa

DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL = range(5)  # linux/mempolicy.h
ON_NODE_0, ON_NODE_1, ON_BOTH = (0, 1), (24, 25), (0, 24)


@pytest.fixture
def two_nodes(tmp_path):
    """A machine of two nodes with 48 CPUs each, whose cpuset allows both."""
    trees.c5_metal().write(tmp_path / "sys")
    put(tmp_path / "proc/self/status", "Name:\tx\nMems_allowed:\t3\nMems_allowed_list:\t0-1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "cpus", "nodes"),
    [
        ("local", ON_NODE_0, (0,)),
        ("local", ON_NODE_1, (1,)),
        ("local", ON_BOTH, (0, 1)),
        ("interleave", ON_NODE_1, (0, 1)),
        ("any", ON_NODE_1, ()),
    ],
)
def test_the_nodes_of_each_policy(two_nodes, policy, cpus, nodes):
    assert numa.policy_nodes(policy, cpus, two_nodes) == nodes


@pytest.mark.parametrize("policy", ["local", "interleave"])
def test_only_nodes_of_the_cpuset_are_named(two_nodes, policy):
    """Also for CPUs whose node the cpuset forbids."""
    put(two_nodes / "proc/self/status", "Mems_allowed_list:\t0")
    assert numa.policy_nodes(policy, ON_NODE_1, two_nodes) == (0,)


def test_a_node_without_memory_is_replaced_by_the_nearest(tmp_path):
    trees.memoryless().write(tmp_path / "sys")
    assert numa.policy_nodes("local", (4, 5), tmp_path) == (2,)


@pytest.mark.parametrize(
    ("mode", "nodes", "value"),
    [
        (BIND, (1,), "local"),
        (BIND, (0,), None),
        (BIND, (0, 1), None),
        (LOCAL, (), "local"),
        (DEFAULT, (), "any"),
        (INTERLEAVE, (0, 1), "interleave"),
        (PREFERRED, (0,), None),
    ],
)
def test_the_value_that_describes_the_policy_in_force(two_nodes, mode, nodes, value):
    assert numa.policy_value(mode, nodes, ON_NODE_1, two_nodes) == value


def test_a_policy_that_is_set_is_in_force_and_read_back():
    """On this machine's kernel; the policy before the test is restored."""
    (knob,) = numa.KNOBS
    every_node = tuple(n for n, size in topology.read().nodes.items() if size)
    before = kernel.memory_policy()
    try:
        for value, mode in (("interleave", INTERLEAVE), ("local", BIND), ("any", DEFAULT)):
            numa.memory_policy(value, [c.id for c in topology.read().cpus])
            nodes = () if value == "any" else every_node
            assert kernel.memory_policy() == (mode, nodes)
            assert knob.read_back() == value
    finally:
        kernel.set_memory_policy(*before)


def test_another_architecture_is_refused_with_a_reason(monkeypatch):
    monkeypatch.setattr(kernel.platform, "machine", lambda: "vax")
    with pytest.raises(UnsupportedError, match="numa=local"):
        numa.memory_policy("local", [24])
    (knob,) = numa.KNOBS
    assert knob.read_back() is None
    assert not knob.available().ok


def test_a_node_that_does_not_exist_is_refused():
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.set_memory_policy(BIND, [900])
