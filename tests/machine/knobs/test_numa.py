import pytest
import trees

from honed.errors import UnsupportedError
from honed.machine import affinity, kernel, topology
from honed.machine.knobs import numa


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    here = topology.read(trees.c5_metal().write(tmp_path))
    monkeypatch.setattr(topology, "read", lambda: here)
    monkeypatch.setattr(affinity, "allowed_cpus", lambda: (24, 25))
    monkeypatch.setattr(numa, "_granted_nodes", lambda: (0, 1))
    calls = []
    monkeypatch.setattr(kernel, "set_memory_policy", lambda *a: calls.append(a))
    return calls


def test_policies_in_the_kernels_numbers(two_nodes):
    for policy in ("local", "any", "interleave"):
        numa.memory_policy(policy, [24, 25])
    assert two_nodes == [(2, (1,)), (0, ()), (3, (0, 1))]


def test_nodes_outside_the_cpuset_are_not_asked_for(two_nodes, monkeypatch):
    monkeypatch.setattr(numa, "_granted_nodes", lambda: (0,))
    numa.memory_policy("interleave", [24])
    numa.memory_policy("local", [24])  # its own node is not granted
    assert two_nodes == [(3, (0,)), (2, (0,))]


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ((2, (1,)), "local"),
        ((2, (0,)), None),
        ((4, ()), "local"),
        ((0, ()), "any"),
        ((1, (0,)), None),
    ],
)
def test_words_for_what_the_kernel_says(two_nodes, monkeypatch, policy, word):
    monkeypatch.setattr(kernel, "memory_policy", lambda: policy)
    assert numa.policy_here() == word


def test_other_architectures_refuse_politely(monkeypatch):
    monkeypatch.setattr(kernel.platform, "machine", lambda: "vax")
    with pytest.raises(UnsupportedError, match="numa=local"):
        numa.memory_policy("local", [24])
    assert numa.policy_here() is None
    assert not numa.KNOBS[0].available().ok


def test_nodes_survive_the_kernels_mask():
    """Set and read back on this machine; restored."""
    before = kernel.memory_policy()
    try:
        kernel.set_memory_policy(3, numa._granted_nodes())
        assert kernel.memory_policy() == (3, numa._granted_nodes())
        kernel.set_memory_policy(0)
        assert kernel.memory_policy() == (0, ())
    finally:
        kernel.set_memory_policy(*before)


def test_a_node_that_is_not_there_is_refused():
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.set_memory_policy(2, [900])
