import random

from hypothesis import given
from hypothesis import strategies as st

from honed.instruments.steady import Steadiness


def feed(series, limit_s=10.0, cycle=1):
    steadiness = Steadiness(limit_s, cycle)
    for latency_s in series:
        if steadiness.over:
            break
        steadiness.add(latency_s)
    return steadiness


def noisy(level, share, count, seed=0):
    rng = random.Random(seed)
    return [level * rng.lognormvariate(0, share) for _ in range(count)]


def test_flat_settles_after_two_windows():
    steadiness = feed([0.1] * 500)
    assert steadiness.settled
    assert steadiness.calls <= 12  # two windows of half a second


def test_noisy_flat_settles():
    settled = [feed(noisy(0.05, 0.05, 500, seed)).settled for seed in range(50)]
    assert sum(settled) >= 48


def test_a_compile_like_first_call_is_left_behind():
    steadiness = feed([4.0, 0.1, *noisy(0.05, 0.01, 500)])
    assert steadiness.settled
    assert steadiness.calls > 12


def test_slow_decay_is_not_settled_until_it_is_flat():
    series = [0.02 * (1 + 0.6 * 0.99**i) for i in range(3000)]
    steadiness = feed(series)
    assert steadiness.settled
    assert series[steadiness.calls - 1] < 0.02 * 1.06


def test_noisy_decay_is_not_settled_early():
    rng = random.Random(1)
    series = [0.01 * (1 + 0.5 * 0.995**i) * rng.lognormvariate(0, 0.02) for i in range(5000)]
    steadiness = feed(series)
    assert steadiness.settled
    assert 0.5 * 0.995**steadiness.calls < 0.08


def test_a_step_down_inside_the_windows_delays():
    steadiness = feed([0.1] * 7 + [0.05] * 500)
    assert steadiness.settled
    assert steadiness.calls >= 7 + 8  # most of both windows lie after the step


def test_endless_fall_meets_the_limit():
    steadiness = feed([0.2 * 0.97**i for i in range(1000)], limit_s=5)
    assert steadiness.over
    assert not steadiness.settled
    assert steadiness.elapsed_s >= 5


def test_inputs_of_unlike_length_are_compared_by_whole_turns():
    steadiness = feed([0.1, 0.05, 0.02, 0.2] * 200, cycle=4)
    assert steadiness.settled
    assert steadiness.calls <= 20


def test_more_inputs_than_fit_into_the_warm_up_do_not_forbid_settling():
    assert feed(noisy(0.05, 0.02, 500), cycle=1000).settled


def test_no_warm_up_asked_for():
    steadiness = Steadiness(0)
    assert steadiness.over
    assert not steadiness.settled


def test_a_slow_first_call_does_not_eat_the_whole_limit():
    steadiness = Steadiness(10)
    steadiness.add(60)
    assert not steadiness.over
    steadiness.add(1)
    steadiness.add(1)
    assert steadiness.over
    assert not steadiness.settled


@given(st.lists(st.floats(1e-6, 5), min_size=1, max_size=300))
def test_it_always_ends_by_the_limit(series):
    steadiness = feed(series, limit_s=1)
    if steadiness.over and not steadiness.settled:
        assert steadiness.elapsed_s >= 1
    if steadiness.elapsed_s >= 1 and steadiness.calls >= 3:
        assert steadiness.over
