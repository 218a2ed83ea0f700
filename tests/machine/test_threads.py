import os
import subprocess
import sys
import threading

import pytest

from honed.errors import UnsupportedError
from honed.machine import limits, threads

CPUS = limits.own_affinity()
SPIN = """
import threading, time
from honed.machine import threads
cpus = [{cpu}]
threads.pin(cpus)
parked = threading.Event()
threading.Thread(target=parked.wait, daemon=True).start()
before, began = threads.thread_times(), time.perf_counter()
while time.perf_counter() - began < 0.3:
    pass
after, wall_s = threads.thread_times(), time.perf_counter() - began
print(threads.running_threads(before, after, wall_s), len(after))
print(threads.cpus_ran_on(threads.ran(before, after, wall_s)), threads.allowed_cpus())
print(threads.strays(cpus), threads.strays([cpus[0] + 1]) != {{}})
"""


def python(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **options
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("cpu", CPUS[:2])
def test_a_pinned_child_runs_one_thread_there_and_a_parked_one_does_not_count(cpu):
    out = python(SPIN.format(cpu=cpu))
    assert out == ["1 2", f"({cpu},) ({cpu},)", "{} True"]


def test_pin_reaches_threads_that_already_run():
    code = f"""
import threading
from honed.machine import threads
stop = threading.Event()
for _ in range(3):
    threading.Thread(target=stop.wait, daemon=True).start()
threads.pin([{CPUS[0]}])
print(sorted(set(threads.cpus_allowed().values())), len(threads.cpus_allowed()))
"""
    assert python(code) == [f"[({CPUS[0]},)] 4"]


def test_pinning_to_a_cpu_that_is_not_there_teaches():
    with pytest.raises(UnsupportedError, match="cannot pin to CPUs 4000") as caught:
        threads.pin([4000])
    assert "doctor" in caught.value.hint
    assert limits.own_affinity() == CPUS


def test_a_child_starts_where_it_is_told_and_we_stay():
    with threads.starting_on([CPUS[-1]]):
        out = python("import os; print(sorted(os.sched_getaffinity(0)))")
    assert out == [f"[{CPUS[-1]}]"]
    assert limits.own_affinity() == CPUS
    with threads.starting_on([]):
        assert limits.own_affinity() == CPUS


def test_starting_on_restores_after_an_error():
    with pytest.raises(KeyError), threads.starting_on([CPUS[0]]):
        raise KeyError
    assert limits.own_affinity() == CPUS


def test_threads_are_judged_by_their_share():
    before = {1: 1.0, 2: 5.0, 3: 0.0}
    after = {1: 2.0, 2: 5.01, 4: 0.9}  # 3 has ended, 4 is new
    assert threads.ran(before, after, 1.0) == (1, 4)
    assert threads.running_threads(before, after, 1.0, share=0.95) == 1


def test_names_with_brackets_do_not_confuse_stat():
    code = """
import ctypes
from honed.machine import threads
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
    assert threads.thread_times() == {7: pytest.approx(200 / os.sysconf("SC_CLK_TCK"))}


def test_elsewhere_than_linux_nothing_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "_TASKS", tmp_path / "none")
    assert threads.thread_times() == {}
    assert threads.cpus_ran_on() == ()
    assert threads.cpus_allowed() == {}


def test_a_thread_that_ends_while_we_look_is_left_out():
    for _ in range(20):
        worker = threading.Thread(target=lambda: None)
        worker.start()
        assert threading.get_native_id() in threads.thread_times()
        assert threading.get_native_id() in threads.cpus_allowed()
        worker.join()
