import os
import subprocess
import sys
import threading

import pytest

from honed.errors import UnsupportedError
from honed.instruments import threads
from honed.machine import affinity, limits

CPUS = limits.own_affinity()
SPIN = """
import threading, time
from honed.instruments import threads
from honed.machine import affinity
cpus = [{cpu}]
affinity.pin(cpus)
parked = threading.Event()
threading.Thread(target=parked.wait, daemon=True).start()
before = threads.snapshot()
while time.perf_counter() - before.at_s < 0.3:
    pass
after = threads.snapshot()
burst = threads.burst(before, after)
print(len(burst.ran()), len(after.cpu_s))
print(threads.cpus_ran_on(burst.ran()), affinity.allowed_cpus())
print(set(affinity.cpus_allowed().values()))
"""


def python(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **options
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("cpu", CPUS[:2])
def test_a_pinned_child_runs_one_thread_there_and_a_parked_one_does_not_count(cpu):
    out = python(SPIN.format(cpu=cpu))
    assert out == ["1 2", f"({cpu},) ({cpu},)", f"{{({cpu},)}}"]


def test_pin_reaches_threads_that_already_run():
    code = f"""
import threading
from honed.instruments import threads
from honed.machine import affinity
stop = threading.Event()
for _ in range(3):
    threading.Thread(target=stop.wait, daemon=True).start()
affinity.pin([{CPUS[0]}])
print(sorted(set(affinity.cpus_allowed().values())), len(affinity.cpus_allowed()))
"""
    assert python(code) == [f"[({CPUS[0]},)] 4"]


def test_pinning_to_a_cpu_that_is_not_there_teaches():
    with pytest.raises(UnsupportedError, match="cannot pin to CPUs 4000") as caught:
        affinity.pin([4000])
    assert "doctor" in caught.value.hint
    assert limits.own_affinity() == CPUS


def test_a_child_starts_where_it_is_told_and_we_stay():
    with affinity.starting_on([CPUS[-1]]):
        out = python("import os; print(sorted(os.sched_getaffinity(0)))")
    assert out == [f"[{CPUS[-1]}]"]
    assert limits.own_affinity() == CPUS
    with affinity.starting_on([]):
        assert limits.own_affinity() == CPUS


def test_starting_on_restores_after_an_error():
    with pytest.raises(KeyError), affinity.starting_on([CPUS[0]]):
        raise KeyError
    assert limits.own_affinity() == CPUS


def snapshots(*cpu_and_waited):
    """Two snapshots a second apart: of each thread (cpu_s before, after), (waited_s, ...)."""
    cpu = [{t: c[i] for t, (c, _) in enumerate(cpu_and_waited)} for i in (0, 1)]
    waited = [{t: w[i] for t, (_, w) in enumerate(cpu_and_waited)} for i in (0, 1)]
    return [
        threads.Snapshot(10.0 + i, cpu[i], {t: cpu[i][t] + waited[i][t] for t in cpu[i]})
        for i in (0, 1)
    ]


def test_threads_are_judged_by_their_share():
    before = threads.Snapshot(0.0, {1: 1.0, 2: 5.0, 3: 0.0}, {1: 1.0, 2: 5.0, 3: 0.0})
    after = threads.Snapshot(1.0, {1: 2.0, 2: 5.01, 4: 0.9}, {1: 2.0, 2: 5.01, 4: 0.9})
    burst = threads.burst(before, after)  # 3 has ended, 4 is new
    assert burst.ran() == (1, 4)
    assert burst.runnable_mean == pytest.approx(1.91)
    assert burst.at_once() == 2
    assert burst.without(4).ran() == (1,)
    assert burst.without(4).at_once() == 1


def test_waiting_for_a_core_is_runnable_and_sleeping_is_not():
    # Three threads on two cores: each computes two thirds of the time and waits for the rest.
    fighting = threads.burst(*snapshots(*[((0, 0.66), (0, 0.34))] * 3))
    assert fighting.at_once() == 3
    # Three on two cores that take turns: one of them sleeps at any time.
    in_turns = threads.burst(*snapshots(*[((0, 0.66), (0, 0.0))] * 3))
    assert in_turns.at_once() == 2
    assert len(in_turns.ran()) == len(fighting.ran()) == 3


def test_the_overlap_of_a_wake_up_is_no_thread():
    assert threads.burst(*snapshots(((0, 0.6), (0, 0.1)), ((0, 0.4), (0, 0.1)))).at_once() == 1
    assert threads.burst(*snapshots(((0, 0.9), (0, 0.5)), ((0, 0.04), (0, 0)))).at_once() == 1
    assert threads.burst(*snapshots(((0, 0.0), (0, 0.0)))).at_once() == 0


TURNS = """
import hashlib, sys, threading, time
from honed.instruments import threads
from honed.machine import affinity, limits
affinity.pin(limits.own_affinity()[:1])
data, stop = bytes(2**25), time.perf_counter() + 1.2
turns = [threading.Semaphore(1), threading.Semaphore(int(sys.argv[1]))]
def compute(mine, other):
    while time.perf_counter() < stop:
        turns[mine].acquire()
        hashlib.sha256(data).digest()  # without the GIL
        turns[other].release()
pair = [threading.Thread(target=compute, args=a) for a in ((0, 1), (1, 0))]
for one in pair: one.start()
before = threads.snapshot()
time.sleep(1.0)
burst = threads.burst(before, threads.snapshot())
print(len(burst.ran()), burst.at_once())
for one in turns: one.release()
for one in pair: one.join()
"""


@pytest.mark.parametrize(("tokens", "said"), [(0, "2 1"), (1, "2 2")])
def test_the_kernel_tells_turns_from_fights_for_one_core(tokens, said):
    """One token for two threads: they take turns. Two tokens: both always want the core."""
    done = subprocess.run(
        [sys.executable, "-c", TURNS, str(tokens)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said


def test_names_with_brackets_do_not_confuse_stat():
    code = """
import ctypes
from honed.instruments import threads
from honed.machine import affinity
ctypes.CDLL(None).prctl(15, b") R (x y", 0, 0, 0)
print(len(threads.cpus_ran_on()))
"""
    assert python(code) == ["1"]


def test_without_scheduler_statistics_ticks_are_counted(tmp_path, monkeypatch):
    fields = ["7", "(a) b)", "R"] + ["0"] * 36
    fields[13], fields[14] = "150", "50"
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text(" ".join(fields))
    monkeypatch.setattr(threads, "_TASKS", tmp_path)
    wanted = pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
    assert threads.thread_times() == {7: wanted}
    assert threads.snapshot().runnable_s == {7: wanted}


def test_elsewhere_than_linux_nothing_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "_TASKS", tmp_path / "none")
    monkeypatch.setattr(affinity, "_TASKS", tmp_path / "none")
    assert threads.thread_times() == {}
    assert threads.cpus_ran_on() == ()
    assert affinity.cpus_allowed() == {}


def test_a_thread_that_ends_while_we_look_is_left_out():
    for _ in range(20):
        worker = threading.Thread(target=lambda: None)
        worker.start()
        assert threading.get_native_id() in threads.thread_times()
        assert threading.get_native_id() in affinity.cpus_allowed()
        worker.join()


@pytest.mark.parametrize(
    ("allowed", "count"),
    [
        ([], 0),
        ([{0}, {0}], 1),
        ([{0}, {0, 1}], 2),
        ([{0, 1}, {0}], 2),  # the first thread has to make room
        ([{0, 1}, {0, 1}, {0, 1}], 2),
        ([{0}, {0}, {1}, {1}], 2),
        ([{0, 1}, {1, 2}, {0}, {3}], 4),
    ],
)
def test_threads_are_apart_if_each_can_have_a_cpu_of_its_own(allowed, count):
    assert threads.apart(allowed) == count


def test_a_thread_that_waits_for_a_core_wants_to_run():
    burst = threads.burst(*snapshots(((0, 0.9), (0, 0)), ((0, 0.02), (0, 0.5)), ((0, 0), (0, 0))))
    assert burst.ran() == (0,)
    assert burst.wanted_to_run() == (0, 1)
