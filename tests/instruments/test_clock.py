import multiprocessing
import time

from honed.instruments import clock


def _now(queue):
    queue.put(clock.now_ns())


def test_processes_share_the_clock():
    queue = multiprocessing.get_context("spawn").Queue()
    child = multiprocessing.get_context("spawn").Process(target=_now, args=(queue,))
    before = clock.now_ns()
    child.start()
    there = queue.get(timeout=30)
    child.join()
    assert before < there < clock.now_ns()


def test_now_counts_nanoseconds_of_the_monotonic_clock():
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert before <= clock.now_ns() <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)
