import json

import pytest
from test_facts import root  # noqa: F401 - a fixture
from trees import put

from honed.knob import AVAILABLE, Availability, Knob, Span
from honed.machine import doctor
from honed.machine.limits import Limits
from honed.machine.spawn import machine_knobs

MISSING = Availability(False, "not installed", "apt-get install it")


def kinds(facts, limits=None, **options):
    limits = limits or Limits((0, 1))
    return {w.kind: w for w in doctor.warnings(facts, limits, **options)}


@pytest.fixture
def fine(root):  # noqa: F811
    """Facts of a machine with nothing to complain about."""
    facts = doctor.machine_facts.machine_facts(root)
    topology = facts["topology"] | {"threads_per_core": 1, "nodes": {"0": {}}}
    return facts | {
        "governor": ["performance"],
        "memory_limit_bytes": None,
        "swap_bytes": 0,
        "topology": topology,
    }


def test_a_machine_without_problems_gets_no_advice(fine, tmp_path):
    assert kinds(fine, root=tmp_path) == {}


@pytest.mark.parametrize(
    ("kind", "changes", "message", "fix"),
    [
        ("governor", {"governor": ["performance", "powersave"]}, "powersave", "scaling_governor"),
        ("turbo", {"turbo": False}, "turbo is off", "echo 0"),
        ("thp", {"thp": "never"}, "huge pages", "echo madvise"),
        ("swap", {"swap_bytes": 2**30}, "1024 MiB", "vm.swappiness=1"),
        ("memory_limit", {"memory_limit_bytes": 2**30}, "1024 of ", "--memory"),
    ],
)
def test_each_warning_has_the_command_that_helps(fine, tmp_path, kind, changes, message, fix):
    found = kinds(fine | changes, root=tmp_path)
    assert set(found) == {kind}
    assert message in found[kind].message
    assert fix in found[kind].fix


def test_topology_warnings(fine, tmp_path):
    fine["topology"] |= {"threads_per_core": 2, "offline": 3, "nodes": {"0": {}, "1": {}}}
    put(tmp_path / "proc/sys/kernel/numa_balancing", "1")
    found = kinds(fine, root=tmp_path)
    assert set(found) == {"smt", "offline", "numa_balancing"}
    assert "16 CPUs are 8 physical cores" in found["smt"].message
    put(tmp_path / "proc/sys/kernel/numa_balancing", "0")
    assert "numa_balancing" not in kinds(fine, root=tmp_path)


def test_amd_turbo_is_switched_elsewhere(fine, tmp_path):
    found = kinds(fine | {"turbo": False}, root=tmp_path / "amd")
    assert found["turbo"].fix.endswith("cpufreq/boost")


def test_quota(fine, tmp_path):
    found = kinds(fine, Limits((0, 1), quota=1.5), root=tmp_path)
    assert "1.5 of 2 CPUs" in found["quota"].message
    assert found["quota"].fix.startswith("threads=1")
    assert kinds(fine, Limits((0, 1), quota=2.0), root=tmp_path) == {}


def test_a_knob_that_is_not_available():
    state = doctor.state_of(Knob("x.y", "help", ("a",), available=lambda: MISSING))
    assert (state.available, state.why, state.how) == (
        False,
        "not installed",
        "apt-get install it",
    )
    assert state.values == {"a": False}


def test_a_value_that_is_not_available():
    knob = Knob("x", "help", (True, False), available_value=lambda v: MISSING if v else AVAILABLE)
    state = doctor.state_of(knob)
    assert state.available
    assert state.values == {"true": False, "false": True}
    assert state.why == "true: not installed"
    assert state.how == "apt-get install it"
    nothing = Knob("x", "help", ("a", "b"), available_value=lambda _: MISSING)
    assert not doctor.state_of(nothing).available
    assert doctor.state_of(nothing).how == "apt-get install it"


def test_a_state_that_cannot_be_read():
    def refuse():
        raise OSError

    state = doctor.state_of(Knob("x", "help", Span(1, 2), read_back=refuse))
    assert (state.available, state.state, state.values) == (True, None, {})


def test_this_machine():
    extra = Knob("torch.mode", "how", ("eager",))
    found = doctor.examine([extra])
    data = json.loads(json.dumps(found.to_json()))
    assert {"effective_cpus", "topology", "warnings", "knobs"} <= set(data)
    assert [k["name"] for k in data["knobs"]] == [*machine_knobs(), "torch.mode"]
    assert all(k["help"] for k in data["knobs"])
    assert all(k["why"] and k["how"] for k in data["knobs"] if not k["available"])
    assert found.effective_cpus >= 1


def test_another_machine(root):  # noqa: F811
    found = doctor.examine(root=root)
    assert found.topology["cores"] == 8
    assert {"governor", "swap", "smt", "memory_limit"} <= {w.kind for w in found.warnings}
