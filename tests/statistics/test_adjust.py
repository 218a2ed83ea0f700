"""Adjusting for lengths removes differences by input, and keeps what the machine did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.record import Samples
from honed.statistics import sample
from honed.statistics.adjust import factors
from honed.statistics.window import cut


def times(sizes, fed, rng, noise):
    """Linear layers and attention, as an engine has them."""
    padded = np.array([s[0] for s in sizes], float)[fed]
    return (0.002 + 2e-5 * padded + 4e-9 * padded**2) * rng.normal(1, noise, len(fed))


def sizes_of(rng, count):
    padded = rng.integers(16, 4096, count)
    return [
        (int(p), int(p * share))
        for p, share in zip(padded, rng.uniform(0.5, 1, count), strict=True)
    ]


@given(st.integers(0, 1000), st.integers(8, 64), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_differences_by_length_are_removed_and_noise_stays(seed, inputs, turns):
    rng = np.random.default_rng(seed)
    sizes, fed = sizes_of(rng, inputs), np.tile(np.arange(inputs), turns)
    calls = times(sizes, fed, rng, 0.01)
    found = factors(calls, fed, sizes)
    if found is None:
        assert len(calls) < 20
        return
    level = calls * found
    assert np.median(level) == pytest.approx(np.median(calls), rel=0.02)
    assert level.std() / level.mean() < 0.02


def test_a_slow_spell_is_not_taken_for_longer_inputs():
    rng = np.random.default_rng(3)
    sizes, fed = sizes_of(rng, 32), np.tile(np.arange(32), 3)
    calls = times(sizes, fed, rng, 0.01)
    calls[48:] *= 1.3
    level = calls * factors(calls, fed, sizes)
    assert np.median(level[48:]) / np.median(level[:48]) == pytest.approx(1.3, abs=0.05)
    found = sample.doubts(samples_of(calls), factors=[factors(calls, fed, sizes)])
    assert "trend" in {d.kind for d in found}


def test_inputs_alike_need_no_factor():
    assert factors([0.1, 0.2], [0, 1], [(8, 8), (8, 8)]).tolist() == [1, 1]
    assert factors([], [], [(8, 8), (9, 8)]).size == 0


def test_too_few_calls_give_no_factors():
    assert factors([0.1] * 19, list(range(19)), [(n, n) for n in range(1, 20)]) is None
    assert factors([0.1] * 20, list(range(20)), [(n, n) for n in range(1, 21)]) is not None


def samples_of(calls):
    return Samples((tuple(calls),), (tuple(np.cumsum(calls)),))


def test_lengths_are_no_spread_but_noise_still_is():
    rng = np.random.default_rng(5)
    sizes, fed = [(10, 10), (20, 20), (40, 40)], np.tile([0, 1, 2], 40)
    level = np.array([0.010, 0.020, 0.040])[fed]

    def kinds(calls, levelled):
        own = [factors(calls, fed, sizes)] if levelled else None
        return {d.kind for d in sample.doubts(samples_of(calls), factors=own)}

    quiet = level * rng.normal(1, 0.01, level.size)
    assert "spread" in kinds(quiet, levelled=False)
    assert kinds(quiet, levelled=True) == set()
    noisy = level * rng.normal(1, 0.3, level.size).clip(0.1)
    assert "spread" in kinds(noisy, levelled=True)


def test_the_interval_of_the_throughput_is_not_that_of_the_lengths():
    rng = np.random.default_rng(6)
    sizes, fed = sizes_of(rng, 32), np.tile(np.arange(32), 3)
    calls = times(sizes, fed, rng, 0.01)
    ends = np.cumsum((calls * 1e9).astype(np.int64))
    found = cut([([0, *ends[:-1]], list(ends))])
    plain = sample.throughput(found, 8)
    level = sample.throughput(found, 8, [factors(calls, fed, sizes)])
    assert level.value == plain.value
    assert level.ci95[0] <= level.value <= level.ci95[1]
    width = (level.ci95[1] - level.ci95[0]) / level.value
    assert width < 0.02 < (plain.ci95[1] - plain.ci95[0]) / plain.value
