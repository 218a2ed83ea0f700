import json

import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import UsageError
from honed.machine.knobs.smt import KNOBS
from honed.machine.limits import Limits
from honed.machine.placement import Placement, PlacementRequest, place, place_sizes
from honed.machine.topology import Cpu, Topology, format_cpus, parse_cpus, read

GOLDENS = """{
  "all physical cores": [{"cpus": "0-47", "nodes": "0,1"}],
  "2 instances": [{"cpus": "0-23", "nodes": "0"}, {"cpus": "24-47", "nodes": "1"}],
  "4 instances": [{"cpus": "0-11", "nodes": "0"}, {"cpus": "12-23", "nodes": "0"},
                  {"cpus": "24-35", "nodes": "1"}, {"cpus": "36-47", "nodes": "1"}]
}"""


@pytest.fixture
def machine(tmp_path):
    def build(name):
        topology = read(trees.ALL[name]().write(tmp_path / name))
        return topology, Limits(tuple(c.id for c in topology.cpus))

    return build


def cpus_of(placed):
    return [format_cpus(p.cpus) for p in placed]


@pytest.mark.parametrize(
    ("what", "instances"), [("all physical cores", 1), ("2 instances", 2), ("4 instances", 4)]
)
def test_published_placements(machine, what, instances):
    placed = place(*machine("c5_metal"), PlacementRequest(instances))
    expected = json.loads(GOLDENS)[what]
    assert placed == tuple(
        Placement(parse_cpus(e["cpus"]), parse_cpus(e["nodes"])) for e in expected
    )
    # The same by number of threads.
    assert place(*machine("c5_metal"), PlacementRequest(instances, 48 // instances)) == placed


def test_adjacent_siblings_are_skipped(machine):
    assert cpus_of(place(*machine("adjacent"), PlacementRequest(2, 2))) == ["0,2", "4,6"]
    assert cpus_of(place(*machine("adjacent"), PlacementRequest(2, smt="on"))) == ["0-7", "8-15"]


def test_laptop_fills_performance_cores_first(machine):
    assert cpus_of(place(*machine("laptop"), PlacementRequest(2, 3))) == ["0,2,4", "6,8,10"]
    assert cpus_of(place(*machine("laptop"), PlacementRequest(1, 8))) == ["0,2,4,6,8,10,12-13"]
    # Every physical core before any second sibling, also with SMT.
    assert cpus_of(place(*machine("laptop"), PlacementRequest(1, 15, smt="on"))) == [
        "0-2,4,6,8,10,12-19"
    ]
    favours_high_numbers = place(*machine("phone_like"), PlacementRequest(1, 4))
    assert cpus_of(favours_high_numbers) == ["4-7"]


def test_epyc_keeps_each_instance_in_one_node_and_spans_one_socket(machine):
    topology, limits = machine("epyc")
    placed = place(topology, limits, PlacementRequest(8))
    assert [p.nodes for p in placed] == [(n,) for n in range(8)]
    assert {len(p.cpus) for p in placed} == {16}
    placed = place(topology, limits, PlacementRequest(2))
    assert [p.nodes for p in placed] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    placed = place(topology, limits, PlacementRequest(2, 20))
    assert all(len(p.nodes) == 2 for p in placed)


def test_few_instances_spread_over_nodes(machine):
    assert cpus_of(place(*machine("c5_metal"), PlacementRequest(2, 4))) == ["0-3", "24-27"]


def test_unequal_nodes(machine):
    topology, limits = machine("unequal_nodes")
    assert cpus_of(place(topology, limits, PlacementRequest(3, 8))) == ["0-7", "8-15", "16-23"]
    # An even share inside nodes, rather than one instance that is split.
    assert cpus_of(place(topology, limits, PlacementRequest(2))) == ["0-7", "16-23"]
    assert [len(p.cpus) for p in place(topology, limits, PlacementRequest(2, numa="any"))] == [
        12,
        12,
    ]
    # 12 threads each can only be had by splitting one.
    placed = place(topology, limits, PlacementRequest(2, 12))
    assert cpus_of(placed) == ["0-11", "12-23"]
    assert placed[1].nodes == (0, 1)


def test_memory_less_node_gets_its_neighbours_memory(machine):
    placed = place(*machine("memoryless"), PlacementRequest(3))
    assert [p.nodes for p in placed] == [(0,), (2,), (2,)]


def test_memory_policies_name_all_nodes(machine):
    for numa in ("any", "interleave"):
        placed = place(*machine("c5_metal"), PlacementRequest(2, numa=numa))
        assert [p.nodes for p in placed] == [(0, 1), (0, 1)]
        assert cpus_of(placed) == ["0-23", "24-47"]


def test_smt_packs_an_instance_in_one_node(machine):
    placed = place(*machine("c5_metal"), PlacementRequest(2, 48, smt="on"))
    assert cpus_of(placed) == ["0-23,48-71", "24-47,72-95"]
    placed = place(*machine("c5_metal"), PlacementRequest(4, 24, smt="on"))
    assert cpus_of(placed) == ["0-11,48-59", "12-23,60-71", "24-35,72-83", "36-47,84-95"]
    assert cpus_of(place(*machine("c5_metal"), PlacementRequest(1, 24, smt="on"))) == ["0-23"]
    assert cpus_of(place(*machine("adjacent"), PlacementRequest(16, 1, smt="on"))) == [
        str(i) for i in range(16)
    ]


def test_offline_first_sibling_leaves_the_second(machine):
    assert cpus_of(place(*machine("offline_core"), PlacementRequest(1))) == ["0-1,3,6"]


def test_a_reserved_cpu_keeps_its_whole_core(machine):
    topology, limits = machine("adjacent")
    placed = place(topology, limits, PlacementRequest(7, 1, reserved=(1,)))
    assert cpus_of(placed) == ["2", "4", "6", "8", "10", "12", "14"]
    with pytest.raises(UsageError, match="reserved 1"):
        place(topology, limits, PlacementRequest(8, 1, reserved=(1,)))


def test_a_container_with_one_sibling_of_each(machine):
    topology, _ = machine("c5_metal")
    limits = Limits((50, 51, 3))
    placed = place(topology, limits, PlacementRequest(1))
    assert cpus_of(placed) == ["3,50"]  # 3 and 51 are one core


def test_a_refusal_shows_the_arithmetic():
    topology = Topology((Cpu(0, 0, 0, 0), Cpu(1, 1, 0, 0)), {0: 1})
    with pytest.raises(UsageError) as caught:
        place(topology, Limits((0, 1)), PlacementRequest(3, 1))
    assert caught.value.message == (
        "3 instances x 1 thread need 3 cores; 2 are effective here (affinity 2, quota none)"
    )
    assert caught.value.hint == "instances=2 or oversubscribe=true"
    with pytest.raises(UsageError) as caught:
        place(topology, Limits((0, 1), quota=1.5), PlacementRequest(1, 2))
    assert "1 is effective here (affinity 2, quota 1.5)" in caught.value.message
    assert caught.value.hint == "threads=1 or oversubscribe=true"


def test_a_refusal_offers_smt_if_siblings_are_enough(machine):
    with pytest.raises(UsageError) as caught:
        place(*machine("adjacent"), PlacementRequest(1, 12))
    assert "(affinity 16, quota none, smt off)" in caught.value.message
    assert "smt=on" in caught.value.hint


def test_quota_shrinks_the_share(machine):
    topology, limits = machine("c5_metal")
    assert cpus_of(place(topology, Limits(limits.cpus, quota=2.9), PlacementRequest(1))) == ["0-1"]
    assert cpus_of(place(topology, Limits(limits.cpus, quota=2.9), PlacementRequest(2))) == [
        "0",
        "24",
    ]
    # A reserved core uses the same quota.
    placed = place(topology, Limits(limits.cpus, quota=2), PlacementRequest(1, reserved=(0,)))
    assert cpus_of(placed) == ["24"]


def test_oversubscription_goes_round(machine):
    topology = Topology((Cpu(0, 0, 0, 0), Cpu(1, 1, 0, 0)), {0: 1})
    limits = Limits((0, 1))
    placed = place(topology, limits, PlacementRequest(3, 1, oversubscribe=True))
    assert cpus_of(placed) == ["0", "1", "0"]
    assert cpus_of(place(topology, limits, PlacementRequest(2, 4, oversubscribe=True))) == [
        "0-1",
        "0-1",
    ]
    with pytest.raises(UsageError):
        place(topology, limits, PlacementRequest(1, 1, oversubscribe=True, reserved=(0, 1)))


def test_smt_knob_proof():
    (knob,) = KNOBS
    assert knob.read_back() in ("on", "off")
    assert knob.proves("on", "off")
    assert knob.proves("off", "off")
    assert not knob.proves("off", "on")


@st.composite
def machines(draw):
    """Sockets of nodes of cores of one or two CPUs, some unequal, numbered either way."""
    kinds = (
        st.sampled_from(["performance", "efficiency"])
        if draw(st.booleans())
        else st.just("standard")
    )
    cores = []
    for socket in range(draw(st.integers(1, 2))):
        for node in range(draw(st.integers(1, 3))):
            for _ in range(draw(st.integers(1, 5))):
                cores.append((socket, 3 * socket + node, draw(st.integers(1, 2)), draw(kinds)))
    slots = [(s, c) for c, core in enumerate(cores) for s in range(core[2])]
    if draw(st.booleans()):
        slots.sort()  # siblings far apart, else side by side
    cpus = tuple(
        Cpu(id, c, cores[c][0], cores[c][1], cores[c][3]) for id, (_, c) in enumerate(slots)
    )
    return Topology(cpus, {core[1]: draw(st.integers(0, 1)) for core in cores})


@st.composite
def requests(draw):
    topology = draw(machines())
    ids = [c.id for c in topology.cpus]
    allowed = draw(st.sets(st.sampled_from(ids), min_size=1))
    quota = draw(st.none() | st.floats(0.1, 12))
    request = PlacementRequest(
        draw(st.integers(1, 8)),
        draw(st.none() | st.integers(1, 10)),
        draw(st.sampled_from(["off", "on"])),
        draw(st.sampled_from(["local", "any", "interleave"])),
        draw(st.booleans()),
        tuple(draw(st.sets(st.sampled_from(ids), max_size=2))),
    )
    return topology, Limits(tuple(sorted(allowed)), quota), request


@settings(deadline=None)
@given(requests())
def test_properties(example):
    topology, limits, request = example
    try:
        placed = place(topology, limits, request)
    except UsageError as error:
        refused = error
    else:
        refused = None
    if refused:
        assert "effective here" in refused.message
        assert refused.hint
        return
    of = {c.id: c for c in topology.cpus}
    flat = [cpu for p in placed for cpu in p.cpus]
    reserved_cores = {of[r].core for r in request.reserved}
    usable = [c for c in topology.cpus if c.id in limits.cpus and c.core not in reserved_cores]
    assert len(placed) == request.instances
    assert all(p.cpus for p in placed)
    assert set(flat) <= {c.id for c in usable}  # allowed, and never a reserved core
    if request.smt == "off":
        per_instance = [[of[c].core for c in p.cpus] for p in placed]
        assert all(len(set(cores)) == len(cores) for cores in per_instance)
    if request.oversubscribe:
        return
    assert len(flat) == len(set(flat))  # disjoint
    assert len({len(p.cpus) for p in placed}) == 1
    assert limits.quota is None or len(flat) <= max(1, limits.quota)
    assert request.threads is None or len(placed[0].cpus) == request.threads
    check_nodes(request, placed, usable, of)
    check_order(request, placed, usable, of)


def check_nodes(request, placed, usable, of):
    """As many instances as the nodes can hold are whole."""
    threads = len(placed[0].cpus)
    units = {}
    for c in usable:
        units.setdefault(c.node, set()).add(c.id if request.smt == "on" else c.core)
    can_be_whole = min(request.instances, sum(len(u) // threads for u in units.values()))
    whole = sum(len({of[c].node for c in p.cpus}) == 1 for p in placed)
    assert whole >= can_be_whole


def check_order(request, placed, usable, of):
    """A single instance in one node: physical cores first, performance cores before others."""
    nodes = {of[c].node for c in placed[0].cpus}
    if request.instances > 1 or len(nodes) > 1:
        return
    chosen = [of[c] for c in placed[0].cpus]
    in_node = [c for c in usable if c.node in nodes]
    used = {c.core for c in chosen}
    if len(used) < len(chosen):  # siblings are used: no core may be idle
        assert used == {c.core for c in in_node}
    if any(c.kind == "efficiency" for c in chosen):
        assert {c.core for c in in_node if c.kind == "performance"} <= used


def test_instances_of_different_sizes_find_whole_nodes(machine):
    placed = place_sizes(*machine("c5_metal"), PlacementRequest(), (8, 16, 24))
    assert cpus_of(placed) == ["40-47", "24-39", "0-23"]
    assert [p.nodes for p in placed] == [(1,), (1,), (0,)]
    placed = place_sizes(*machine("c5_metal"), PlacementRequest(reserved=(47,)), (4, 4, 30))
    assert sorted(len(p.cpus) for p in placed) == [4, 4, 30]
    every = [cpu for p in placed for cpu in p.cpus]
    assert len(every) == len(set(every))
    assert 47 not in every


def test_sizes_that_do_not_fit_are_refused_or_overlap(machine):
    topology, limits = machine("c5_metal")
    with pytest.raises(UsageError, match=r"8 \+ 16 \+ 25 cores need 49 cores; 48 are effective"):
        place_sizes(topology, limits, PlacementRequest(), (8, 16, 25))
    placed = place_sizes(topology, limits, PlacementRequest(oversubscribe=True), (24, 24, 48))
    assert cpus_of(placed) == ["0-23", "24-47", "0-47"]
