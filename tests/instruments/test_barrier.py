import multiprocessing
import os
import signal
import threading
import time
import timeit

import pytest

from honed.files import locked
from honed.instruments.barrier import Barrier, BarrierError
from honed.instruments.clock import now_ns

spawn = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "barrier"


def _party(path, index, queue, delay_s=0.0):
    with Barrier.open(path, index) as barrier:
        time.sleep(delay_s)
        cpu_s = time.process_time()
        start = barrier.arrive_and_wait(20)
        back = now_ns()
        queue.put((index, start, back, time.process_time() - cpu_s))
        barrier.done()
        while not barrier.all_done():
            time.sleep(0.001)


def _start(path, indices, queue, delays=()):
    children = [
        spawn.Process(target=_party, args=(path, i, queue, dict(delays).get(i, 0.0)))
        for i in indices
    ]
    for child in children:
        child.start()
    return children


def _join(children):
    for child in children:
        child.join(20)
        assert child.exitcode == 0


def test_all_go_at_one_instant_after_the_last(path):
    with Barrier.create(path, 4) as parent:
        queue = spawn.Queue()
        children = _start(path, range(4), queue, {2: 0.3}.items())
        reports = [queue.get(timeout=20) for _ in children]
        _join(children)
        starts = {start for _, start, _, _ in reports}
        assert len(starts) == 1
        assert all(back >= start for _, start, back, _ in reports)
        assert parent.all_arrived()
        assert parent.all_done()


def test_waiting_does_not_burn_a_core(path):
    with Barrier.create(path, 2):
        queue = spawn.Queue()
        children = _start(path, range(2), queue, {1: 0.5}.items())
        reports = {r[0]: r for r in (queue.get(timeout=20) for _ in children)}
        _join(children)
        assert reports[0][3] < 0.2  # of half a second


def test_a_killed_holder_leaves_the_lock_free(path):
    with Barrier.create(path, 2):
        held = spawn.Event()

        def hold():
            with locked(path):
                held.set()
                time.sleep(60)

        child = spawn.Process(target=hold)
        child.start()
        assert held.wait(20)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        with Barrier.open(path, 0) as first, Barrier.open(path, 1) as second:
            waiting = threading.Thread(target=first.arrive_and_wait, args=(20,))
            waiting.start()
            assert second.arrive_and_wait(20) > 0
            waiting.join()


def test_waiting_ends_with_the_timeout(path):
    with Barrier.create(path, 3), Barrier.open(path, 0) as barrier:
        with pytest.raises(BarrierError, match=r"2 of 3 instances were not ready") as caught:
            barrier.arrive_and_wait(0.05)
        assert caught.value.status == "timeout"
        assert "timeout_s" in caught.value.hint


def test_done_is_per_party(path):
    with Barrier.create(path, 2) as parent, Barrier.open(path, 0) as a, Barrier.open(path, 1) as b:
        assert not parent.all_done()
        a.done()
        assert not b.all_done()
        b.done()
        assert a.all_done()


def test_polling_is_cheap(path):
    with Barrier.create(path, 64) as parent:
        for index in range(64):
            with Barrier.open(path, index) as party:
                party.done()
        best = min(timeit.repeat(parent.all_done, number=1000, repeat=5)) / 1000
        assert best < 5e-6  # about 150 ns; the margin is for busy machines


def test_whoever_comes_after_the_start_goes_at_once(path):
    with Barrier.create(path, 1), Barrier.open(path, 0) as barrier:
        start = barrier.arrive_and_wait(1)
        time.sleep(0.03)
        assert barrier.arrive_and_wait(1) == start < now_ns()


@pytest.mark.parametrize("index", [-1, 2])
def test_only_its_parties_open_it(path, index):
    Barrier.create(path, 2).close()
    with pytest.raises(ValueError, match="of 2"):
        Barrier.open(path, index)


def test_the_parent_is_no_party(path):
    with Barrier.create(path, 1) as parent, pytest.raises(ValueError, match="no party"):
        parent.done()


def test_a_barrier_without_parties_is_an_error(path):
    with pytest.raises(ValueError, match="needs a party"):
        Barrier.create(path, 0)
