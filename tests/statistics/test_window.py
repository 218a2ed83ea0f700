import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import HonedError
from honed.statistics.window import cut

MS = 1_000_000


def simulate(rng, instances, calls, spread=0.05):
    """Closed loops that start within 0.1 ms and go on until the slowest has `calls`."""
    sigma = np.sqrt(np.log(1 + spread**2))
    means = rng.uniform(0.9, 1.1, instances) * 100 * MS
    timelines = []
    for mean in means:
        took = (mean * np.exp(rng.normal(-(sigma**2) / 2, sigma, 4 * calls))).astype(np.int64)
        ended = int(rng.uniform(0, MS / 10)) + np.cumsum(took)
        timelines.append((ended - took, ended))
    enough = max(ended[calls - 1] for _, ended in timelines)
    stops = [int(np.searchsorted(ended, enough)) + 1 for _, ended in timelines]
    cropped = [(b[:k], e[:k]) for (b, e), k in zip(timelines, stops, strict=True)]
    return cropped, float((1e9 / means).sum())


def completed_per_s(timelines):
    """What somebody outside would count: calls that end within the common window."""
    opens = max(b[0] for b, _ in timelines)
    closes = min(e[-1] for _, e in timelines)
    count = sum(((e > opens) & (e <= closes)).sum() for _, e in timelines)
    return count / (closes - opens) * 1e9


def test_one_instance_keeps_everything():
    began, ended = [0, 10 * MS, 20 * MS], [10 * MS, 20 * MS, 30 * MS]
    result = cut([(began, ended)])
    assert result.samples.latency_s == ((0.01, 0.01, 0.01),)
    assert result.samples.completed_s == ((0.01, 0.02, 0.03),)
    assert result.samples.outside == (0,)
    assert result.window_s == pytest.approx(0.03)
    assert result.calls_per_s == pytest.approx(100)


def test_only_what_lies_inside_for_all_is_kept():
    early = ([0, 10 * MS, 20 * MS], [10 * MS, 20 * MS, 30 * MS])
    late = ([5 * MS, 15 * MS, 25 * MS], [15 * MS, 25 * MS, 35 * MS])
    result = cut([early, late])  # the window is 5..30 ms
    assert result.samples.outside == (1, 1)
    assert result.samples.completed_s[0] == pytest.approx((0.015, 0.025))
    assert result.samples.completed_s[1] == pytest.approx((0.010, 0.020))
    assert result.calls_per_s == pytest.approx(5 / 0.025)  # two and a half calls each
    assert result.places == ((1, 2), (0, 1))
    assert result.shares == ((0.5, 1, 1), (1, 1, 0.5))


def test_an_instance_without_a_whole_call_still_counts():
    quick = ([i * MS for i in range(10)], [i * MS + MS for i in range(10)])
    slow = ([-5 * MS], [20 * MS])
    result = cut([quick, slow])
    assert result.samples.latency_s[1] == ()
    assert result.calls_per_s == pytest.approx((10 + 10 / 25) / 0.01)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 40))
def test_kept_calls_lie_inside_the_window(seed, instances, calls):
    timelines, _ = simulate(np.random.default_rng(seed), instances, calls, spread=0.3)
    result = cut(timelines)
    pairs = zip(result.samples.latency_s, result.samples.completed_s, strict=True)
    for (took, ended), (began, _), outside in zip(
        pairs, timelines, result.samples.outside, strict=True
    ):
        assert len(took) == len(ended)
        assert len(took) + outside == len(began)
        assert all(0 <= e <= result.window_s for e in ended)
        assert all(e - t >= -1e-9 for e, t in zip(ended, took, strict=True))
    assert any(result.samples.latency_s)


@pytest.mark.parametrize("instances", [1, 2, 4])
@pytest.mark.parametrize("calls", [5, 20])
def test_throughput_is_the_true_rate_even_for_few_calls(instances, calls):
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(200):
        timelines, rate = simulate(rng, instances, calls)
        errors.append(cut(timelines).calls_per_s / rate - 1)
    assert abs(np.mean(errors)) < 0.005
    assert np.quantile(np.abs(errors), 0.9) < (0.05 if calls == 5 else 0.03)


@pytest.mark.parametrize("instances", [1, 2, 4])
def test_throughput_agrees_with_an_outside_count(instances):
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        timelines, _ = simulate(rng, instances, 20)
        errors.append(cut(timelines).calls_per_s / completed_per_s(timelines) - 1)
    assert abs(np.mean(errors)) < 0.03
    assert np.quantile(np.abs(errors), 0.9) < 0.03


def test_an_instance_without_calls_is_an_error():
    with pytest.raises(HonedError, match="made no call"):
        cut([([0], [1]), ([], [])])


def test_instances_that_never_ran_together_are_an_error():
    with pytest.raises(HonedError, match="never ran at the same time"):
        cut([([0], [10]), ([20], [30])])
