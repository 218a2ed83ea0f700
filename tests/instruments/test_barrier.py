import multiprocessing
import os
import signal
import threading
import time
import timeit

import pytest

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


def test_a_dead_party_does_not_block(path):
    with Barrier.create(path, 3) as parent:
        queue = spawn.Queue()
        dying = spawn.Process(target=time.sleep, args=(60,))
        dying.start()
        children = _start(path, (0, 1), queue)
        os.kill(dying.pid, signal.SIGKILL)
        dying.join()
        parent.mark_gone(2)
        reports = [queue.get(timeout=20) for _ in children]
        _join(children)  # they also wait for all_done
        assert len({r[1] for r in reports}) == 1


def test_a_killed_holder_leaves_the_lock_free(path):
    with Barrier.create(path, 2) as parent:
        held = spawn.Event()

        def hold():
            barrier = Barrier.open(path, 1)
            with barrier._locked():
                held.set()
                time.sleep(60)

        child = spawn.Process(target=hold)
        child.start()
        assert held.wait(20)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        parent.mark_gone(1)
        with Barrier.open(path, 0) as barrier:
            assert barrier.arrive_and_wait(20) > 0


def test_release_lets_everybody_go(path):
    with Barrier.create(path, 5) as parent:
        queue = spawn.Queue()
        children = _start(path, (0, 3), queue)
        time.sleep(0.05)
        parent.release()
        _join(children)
        assert parent.all_done()


def test_waiting_ends_with_the_timeout(path):
    with Barrier.create(path, 3), Barrier.open(path, 0) as barrier:
        with pytest.raises(BarrierError, match=r"2 of 3 instances were not ready") as caught:
            barrier.arrive_and_wait(0.05)
        assert caught.value.status == "timeout"
        assert "timeout_s" in caught.value.hint


def test_waiting_ends_when_abandoned(path):
    with Barrier.create(path, 2), Barrier.open(path, 0) as barrier:
        gone = threading.Event()
        threading.Timer(0.05, gone.set).start()
        with pytest.raises(BarrierError) as caught:
            barrier.arrive_and_wait(20, abandoned=gone.is_set)
        assert caught.value.status == "interrupted"


def test_done_is_per_party(path):
    with Barrier.create(path, 2) as parent, Barrier.open(path, 0) as a, Barrier.open(path, 1) as b:
        assert not parent.all_done()
        a.done()
        assert not b.all_done()
        b.done()
        assert a.all_done()


def test_polling_is_cheap(path):
    with Barrier.create(path, 64) as parent:
        parent.release()
        best = min(timeit.repeat(parent.all_done, number=1000, repeat=5)) / 1000
        assert best < 5e-6  # about 150 ns; the margin is for busy machines


def test_a_late_party_goes_at_once_when_the_start_has_passed(path):
    with Barrier.create(path, 2) as parent:
        parent.release()
        time.sleep(0.03)
        with Barrier.open(path, 1) as barrier:
            assert barrier.arrive_and_wait(1) < now_ns()


@pytest.mark.parametrize("index", [-1, 2])
def test_only_its_parties_open_it(path, index):
    Barrier.create(path, 2).close()
    with pytest.raises(ValueError, match="of 2"):
        Barrier.open(path, index)


def test_the_parent_is_no_party(path):
    with Barrier.create(path, 1) as parent, pytest.raises(ValueError, match="no party"):
        parent.done()


def test_nobody_to_wait_for(path):
    with pytest.raises(ValueError, match="needs a party"):
        Barrier.create(path, 0)
