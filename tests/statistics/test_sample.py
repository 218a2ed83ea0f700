import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from honed.errors import HonedError
from honed.record import Interval, Samples
from honed.statistics import sample
from honed.statistics.window import Cut, cut


def samples_of(*instances):
    return Samples(
        tuple(tuple(float(v) for v in s) for s in instances),
        tuple(tuple(np.cumsum(s).tolist()) for s in instances),
        (0,) * len(instances),
    )


def cut_of(*instances):
    samples = samples_of(*instances)
    window_s = min(c[-1] for c in samples.completed_s)
    return Cut(samples, window_s, sum(len(s) / sum(s) for s in instances))


def autocorrelated(rng, count, rho=0.5, level=0.05, spread=0.1):
    """Lognormal latencies whose logarithms are AR(1); their true median is `level`."""
    noise = rng.standard_normal(count) * np.sqrt(1 - rho**2)
    noise[0] = rng.standard_normal()
    for i in range(1, count):
        noise[i] += rho * noise[i - 1]
    return level * np.exp(spread * noise)


def kinds(samples, settled=True):
    return [d.kind for d in sample.doubts(samples, settled)]


@pytest.mark.parametrize(
    ("percent", "least"), [(50, 2), (90, 10), (95, 20), (99, 100), (99.9, 1000)]
)
def test_percentiles_need_their_count(percent, least):
    assert sample.supports(least, percent)
    assert not sample.supports(least - 1, percent)


@pytest.mark.parametrize(("percent", "least"), [(50, 6), (90, 36), (99, 368)])
def test_intervals_need_more(percent, least):
    assert sample.supports_interval(least, percent)
    assert not sample.supports_interval(least - 1, percent)


def test_unsupported_percentiles_are_none_not_made_up():
    few = sample.latency(samples_of([0.1, 0.2, 0.3]))
    assert (few.p90, few.p95, few.p99, few.ci95, few.p90_ci95, few.p99_ci95) == (None,) * 6
    assert few.p50 == pytest.approx(0.2)
    assert few.stdev == pytest.approx(0.1)


def test_a_single_call():
    one = sample.latency(samples_of([0.1]))
    assert (one.mean, one.p50, one.min, one.max, one.stdev) == (0.1, 0.1, 0.1, 0.1, None)
    assert sample.percentile([0.1], 50) == 0.1
    assert sample.percentile([], 50) is None


def test_instances_are_taken_together():
    both = sample.latency(samples_of([0.1] * 60, [0.3] * 40))
    assert both.p50 == pytest.approx(0.1)
    assert both.p90 == pytest.approx(0.3)
    assert both.p99 == pytest.approx(0.3)


@given(st.lists(st.lists(st.floats(1e-6, 100), min_size=1, max_size=60), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_numbers_are_ordered(instances):
    found = sample.latency(samples_of(*instances))
    ladder = [found.min, found.p50, found.p90, found.p95, found.p99, found.max]
    told = [v for v in ladder if v is not None]
    assert told == sorted(told)
    for value, interval in (
        (found.p50, found.ci95),
        (found.p90, found.p90_ci95),
        (found.p99, found.p99_ci95),
    ):
        if interval is not None:
            assert found.min <= interval[0] <= value <= interval[1] <= found.max


@pytest.mark.parametrize(("count", "rho"), [(40, 0.3), (300, 0.0), (300, 0.6), (1500, 0.5)])
def test_the_interval_covers_the_true_median(count, rho):
    rng = np.random.default_rng(11)
    repeats, hits = 200, 0
    for _ in range(repeats):
        low, high = sample.latency(samples_of(autocorrelated(rng, count, rho))).ci95
        hits += low <= 0.05 <= high
    assert 0.90 <= hits / repeats <= 0.985


@pytest.mark.parametrize(("percent", "name"), [(90, "p90_ci95"), (99, "p99_ci95")])
def test_the_interval_covers_the_true_tail(percent, name):
    rng = np.random.default_rng(5)
    truth = 0.05 * np.exp(0.1 * norm.ppf(percent / 100))
    repeats, hits = 150, 0
    for _ in range(repeats):
        found = sample.latency(samples_of(autocorrelated(rng, 800, 0.4)))
        low, high = getattr(found, name)
        hits += low <= truth <= high
    assert 0.88 <= hits / repeats <= 0.99


def test_the_interval_covers_the_true_throughput():
    rng = np.random.default_rng(2)
    truth = 8 * 2 / (0.05 * np.exp(0.1**2 / 2))
    repeats, hits = 200, 0
    for _ in range(repeats):
        runs = autocorrelated(rng, 200, 0.5), autocorrelated(rng, 200, 0.5)
        found = sample.throughput(cut_of(*runs), batch_size=8)
        hits += found.ci95[0] <= truth <= found.ci95[1]
    assert 0.88 <= hits / repeats <= 0.985


def test_throughput_counts_sequences():
    calls = [i * 10_000_000 for i in range(21)]
    found = sample.throughput(cut([(calls[:-1], calls[1:])]), batch_size=4)
    assert found.value == pytest.approx(400)
    assert found.ci95 == pytest.approx((400, 400))


def test_throughput_of_few_calls_has_no_interval():
    assert sample.throughput(cut_of([0.1] * 5, [0.1] * 50)).ci95 is None
    empty = Cut(Samples(((), (0.1,) * 9), ((), tuple(np.arange(9.0))), (3, 0)), 1.0, 9.5)
    assert sample.throughput(empty).ci95 is None
    assert sample.throughput(empty).value == 9.5


def test_the_same_samples_give_the_same_interval():
    run = samples_of(autocorrelated(np.random.default_rng(0), 500))
    assert sample.latency(run) == sample.latency(run)


def test_a_hundred_thousand_samples_are_quick():
    run = samples_of(np.random.default_rng(0).lognormal(size=100_000))
    sample.latency(samples_of([1.0] * 50))  # imports scipy
    spent = []
    for _ in range(3):
        began = time.process_time()
        sample.latency(run)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.6  # 0.1 s on an idle machine


def test_no_kept_call_says_what_to_do():
    with pytest.raises(HonedError, match="no whole call") as caught:
        sample.latency(Samples(((), ()), ((), ()), (1, 1)))
    assert "duration_s" in caught.value.hint


def test_clean_samples_raise_no_doubt():
    rng = np.random.default_rng(4)
    run = 0.05 * rng.lognormal(0, 0.03, 300)
    assert sample.doubts(samples_of(run, run[::-1])) == ()


def test_doubt_not_settled():
    assert kinds(samples_of([0.1] * 50), settled=False) == ["warmup"]


def test_doubt_too_few():
    assert kinds(samples_of([0.1] * 19)) == ["too_few"]
    assert kinds(samples_of([0.1] * 20)) == []


def test_doubt_spread():
    run = samples_of(np.random.default_rng(0).uniform(0.1, 0.2, 200))
    assert kinds(run) == ["spread"]
    assert "%" in sample.doubts(run)[0].message


def test_doubt_trend_up_and_down():
    ramp = 0.1 * np.linspace(1, 1.08, 90)
    up, down = sample.doubts(samples_of(ramp)), sample.doubts(samples_of(ramp[::-1]))
    assert [d.kind for d in up] == [d.kind for d in down] == ["trend"]
    assert "slowed down" in up[0].message
    assert "warm" in down[0].message


def test_a_trend_of_one_instance_is_seen():
    assert kinds(samples_of([0.1] * 90, 0.1 * np.linspace(1, 1.08, 90))) == ["trend"]


def test_doubt_first_call():
    assert kinds(samples_of([0.5, *[0.1] * 40])) == ["first_call"]
    assert kinds(samples_of([0.15, *[0.1] * 40])) == []


def test_the_interval_over_processes_holds_their_mean_and_narrows_with_their_number():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(1000):
        found = sample.over_processes(rng.lognormal(3.0, 0.05, 4))
        held += found.ci95[0] <= np.exp(3.0) <= found.ci95[1]
    assert 0.93 <= held / 1000 <= 0.97
    few, many = (sample.over_processes(rng.lognormal(3.0, 0.05, n)) for n in (4, 100))
    assert many.ci95[1] - many.ci95[0] < (few.ci95[1] - few.ci95[0]) / 3


def test_one_process_has_no_interval_over_processes():
    assert sample.over_processes([2.0]) == Interval(pytest.approx(2.0))
    assert sample.over_processes([2.0, 2.0]).ci95 == pytest.approx((2.0, 2.0))
    assert sample.over_processes([-0.2, 0.0, 0.2]).value == pytest.approx(0.0)
