import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import UnsupportedError, UsageError
from honed.knob import AVAILABLE, Availability, Knob, Span, SpawnEffect
from honed.machine import kernel, spawn
from honed.machine.knobs import numa


def knob(name, effect=None, **fields):
    fields = {"values": ("a", "b"), "phase": "spawn"} | fields
    return {name: Knob(name, "help", spawn=lambda _: effect or SpawnEffect(), **fields)}


def test_every_file_with_knobs_is_found():
    knobs = spawn.machine_knobs()
    assert {"smt", "numa"} <= set(knobs)
    assert list(knobs) == sorted(knobs)
    for found in knobs.values():
        assert found.phase == ("system" if found.name == "thp_system" else "spawn")
        assert found.owner == ""
        assert found.help


def test_every_call_that_a_knob_names_exists():
    calls = spawn._calls()
    for found in spawn.machine_knobs().values():
        for value in found.values if isinstance(found.values, tuple) else (found.values.low,):
            assert set(found.spawn(value).in_child) <= set(calls)


def test_without_knobs_the_environment_is_the_inherited_one():
    environment = {"PATH": "/bin", "LD_PRELOAD": "x.so", "GLIBC_TUNABLES": "a=1"}
    folded = spawn.fold({}, environment)
    assert folded.environment == environment
    assert folded.environment is not environment
    assert folded.in_child == {}


def test_knobs_of_engines_and_load_knobs_have_no_effect():
    known = knob("late", SpawnEffect({"X": "1"}), phase="load")
    assert spawn.fold({"torch.mode": "compile", "late": "a"}, {}, known) == spawn.Spawn()


def test_effects_add_up():
    known = {
        **knob("one", SpawnEffect({"A": "1", "GLIBC_TUNABLES": "g.x=1"}, ("/one.so",))),
        **knob("two", SpawnEffect({"GLIBC_TUNABLES": "g.y=2"}, ("/two.so",), {"call": "a"})),
    }
    inherited = {"A": "0", "GLIBC_TUNABLES": "g.x=9:g.z=3", "LD_PRELOAD": "/mine.so /two.so"}
    folded = spawn.fold({"two": "a", "one": "b"}, inherited, known)
    assert folded.environment == {
        "A": "1",
        "GLIBC_TUNABLES": "g.x=1:g.z=3:g.y=2",
        "LD_PRELOAD": "/one.so:/two.so:/mine.so",
    }
    assert folded.in_child == {"call": "a"}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.text("xyz", min_size=1)))
def test_tunables_keep_one_of_each_name(ours):
    known = {}
    for name, value in ours.items():
        known |= knob(name, SpawnEffect({"GLIBC_TUNABLES": f"glibc.{name}={value}"}))
    folded = spawn.fold(dict.fromkeys(ours, "a"), {"GLIBC_TUNABLES": "glibc.a=1:glibc.q=2"}, known)
    parts = dict(p.split("=") for p in folded.environment["GLIBC_TUNABLES"].split(":"))
    expected = {"a": "1", "q": "2"} | ours
    assert parts == {f"glibc.{name}": value for name, value in expected.items()}


def test_unknown_values_name_the_nearest():
    with pytest.raises(UsageError, match="numa=locl") as caught:
        spawn.fold({"numa": "locl"}, {})
    assert "did you mean local?" in caught.value.hint
    known = knob("level", values=Span(1, 9))
    with pytest.raises(UsageError) as caught:
        spawn.fold({"level": 10}, {}, known)
    assert caught.value.hint == "known: 1..9"


def test_an_unavailable_value_is_refused_with_the_command_that_helps():
    missing = Availability(False, "not installed", "apt-get install it")
    with pytest.raises(UnsupportedError, match="one=a: not installed") as caught:
        spawn.fold({"one": "a"}, {}, knob("one", available=lambda: missing))
    assert caught.value.hint == "apt-get install it"
    picky = knob("one", available_value=lambda v: AVAILABLE if v == "b" else missing)
    with pytest.raises(UnsupportedError):
        spawn.fold({"one": "a"}, {}, picky)
    assert spawn.fold({"one": "b"}, {}, picky) == spawn.Spawn()


def test_a_refused_call_is_a_note(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(kernel, "set_memory_policy", refuse)
    (note,) = spawn.apply_in_child({"memory_policy": "local"})
    assert note["kind"] == "memory_policy_refused"
    assert "this container refuses memory policies" in note["message"]
    assert "SYS_NICE" in note["message"]
    json.dumps(note)


def test_only_the_named_knobs_are_read_back():
    assert spawn.read_back([]) == {}
    assert spawn.read_back({"smt": "off", "torch.mode": "eager"}).keys() == {"smt"}


def test_a_policy_that_the_kernel_does_not_tell_is_unknown(monkeypatch):
    def refuse():
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(kernel, "memory_policy", refuse)
    assert spawn.read_back(["numa"]) == {"numa": None}
    available = numa.KNOBS[0].available()
    assert not available.ok
    assert "kernel" in available.why


PROVE = """
import json, sys
from honed.machine import spawn
notes = spawn.apply_in_child(json.loads(sys.argv[1]))
print(json.dumps([notes, spawn.read_back(["numa"])["numa"]]))
"""


@pytest.mark.parametrize("policy", ["local", "any", "interleave"])
def test_a_real_child_has_the_memory_policy_of_the_knob(policy):
    folded = spawn.fold({"numa": policy}, os.environ)
    done = subprocess.run(
        [sys.executable, "-c", PROVE, json.dumps(folded.in_child)],
        env=folded.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[], policy]


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import sys, time
from honed.machine.spawn import die_with_parent
die_with_parent(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
''', str({pid})], stdout=subprocess.PIPE)
if {wait}:
    child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition) -> bool:
    ends = time.monotonic() + 20
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize(
    ("pid", "wait", "kill"), [("__import__('os').getpid()", True, True), ("1", False, False)]
)
def test_a_worker_dies_with_its_parent(pid, wait, kill):
    """Killed while both run; and at once when the parent was gone before it asked."""
    code = PARENT.format(pid=pid, wait=wait)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        try:
            child = int(parent.stdout.readline())
            assert not kill or not gone(child)
            if kill:
                parent.send_signal(signal.SIGKILL)
            assert wait_for(lambda: gone(child))
        finally:
            parent.kill()
