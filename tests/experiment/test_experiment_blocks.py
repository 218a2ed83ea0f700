"""PairedBlocks: what known blocks say about two sides."""

from __future__ import annotations

import math

import pytest
from records import make_record

from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Draw

LOGS = {"A": [0.0, 0.1, 0.2, 0.0], "B": [0.05, 0.17, 0.25, 0.06], "C": [0.5, 0.5]}


def draw(log_time: float, seed: int = 0, calls: int = 30) -> Draw:
    value = math.exp(log_time)
    return Draw(value, log_time, make_record(p50_s=value, seed=seed, calls=calls, elapsed_s=seed))


@pytest.fixture
def blocks() -> PairedBlocks:
    found = PairedBlocks()
    for index in range(4):
        found.blocks.append(
            {s: draw(v[index], seed=index + 1) for s, v in LOGS.items() if index < len(v)}
        )
    return found


def test_differences_are_of_the_blocks_that_have_both(blocks: PairedBlocks) -> None:
    assert blocks.differences("B", "A") == pytest.approx([0.05, 0.07, 0.05, 0.06])
    assert blocks.differences("C", "A") == pytest.approx([0.5, 0.4])
    assert blocks.differences("A", "nobody") == []


def test_behind_is_a_median_and_its_error_that_of_a_median(blocks: PairedBlocks) -> None:
    assert blocks.behind("B", "A") == pytest.approx(0.055)
    assert blocks.behind("B", "nobody") == 0.0
    expected = 1.2533 * blocks.noise() * math.sqrt(2 / 4)
    assert blocks.error("B", "A") == pytest.approx(expected, rel=1e-4)
    assert math.isinf(blocks.error("A", "nobody"))


def test_the_noise_is_of_one_process_and_never_under_a_hundredth(blocks: PairedBlocks) -> None:
    rests = [-0.005, 0.015, -0.005, 0.005]  # B against A
    rests += [0.05, -0.05]  # C against A
    rests += [0.06, -0.06]  # C against B: 0.45 and 0.33
    spread = sorted(abs(r) for r in rests)
    median = (spread[3] + spread[4]) / 2
    assert blocks.noise() == pytest.approx(1.4826 * median / math.sqrt(2), rel=1e-4)
    alike = PairedBlocks(blocks=[{"A": draw(0.0), "B": draw(0.0)}] * 4)
    assert alike.noise() == 0.01
    assert math.isinf(PairedBlocks(blocks=alike.blocks[:1]).noise())


def test_gains_are_over_one_for_faster(blocks: PairedBlocks) -> None:
    assert blocks.gain("A", "B").value == pytest.approx(math.exp(0.0575))
    assert blocks.gain("A", "nobody").value is None


def test_effects_are_fitted_to_all_blocks(blocks: PairedBlocks) -> None:
    effects = blocks.effects()
    assert effects.counts == {"A": 4, "B": 4, "C": 2}
    steps = [effects.difference("B", "A").log, effects.difference("C", "B").log]
    assert sum(steps) == pytest.approx(effects.difference("C", "A").log)
    assert effects.difference("B", "A").log == pytest.approx(0.0575)


def test_pooled_takes_values_from_shared_blocks_and_calls_from_all(blocks: PairedBlocks) -> None:
    shared = blocks.pooled("A", "C")
    assert shared is not None
    assert shared.value == pytest.approx((math.exp(0.0) + math.exp(0.1)) / 2)
    assert len(shared.records) == 2
    assert len(blocks.calls_s("A")) == 4 * 30
    assert shared.latency_p99_s is not None
    few = blocks.pooled("C", "A")
    assert few is not None
    assert few.latency_p99_s is None  # 60 calls do not support it
    assert blocks.pooled("nobody") is None
    alone = blocks.pooled("A", "nobody")
    assert alone is not None
    assert len(alone.records) == 4


def test_a_side_takes_the_median_of_its_processes(blocks: PairedBlocks) -> None:
    assert blocks.elapsed_s("A") == 2.5
    assert blocks.elapsed_s("C", "nobody") == 1.5
    assert blocks.elapsed_s("nobody") is None
