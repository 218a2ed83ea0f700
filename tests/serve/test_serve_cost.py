"""The cost model: fitted to timed calls, and what follows for batches and classes."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from honed.serve import cost
from honed.serve.asks import Point

SHAPES = [(1, 8), (4, 8), (1, 64), (16, 16), (1, 256), (4, 128), (32, 32), (2, 512), (8, 256)]


def points(fixed_s: float, token_s: float, square_s: float, noise: float = 0.0) -> list[Point]:
    rng = np.random.default_rng(0)
    found = []
    for rows, width in SHAPES:
        exact_s = fixed_s + rows * width * token_s + rows * width * width * square_s
        found.append(Point(rows, width, exact_s * (1 + noise * rng.normal())))
    return found


@pytest.mark.parametrize(
    "truth", [(1e-3, 2e-5, 1e-8), (0.0, 2e-5, 0.0), (5e-3, 1e-6, 4e-8), (2e-4, 3e-5, 0.0)]
)
def test_costs_are_found_again(truth: tuple[float, float, float]) -> None:
    found = cost.fit(points(*truth))
    for rows, width in SHAPES:
        wanted = truth[0] + rows * width * truth[1] + rows * width * width * truth[2]
        assert found.padded_s(rows, width) == pytest.approx(wanted, rel=1e-3)
    assert found.error == pytest.approx(1.0, abs=1e-3)


def test_no_cost_is_negative_and_the_error_is_told() -> None:
    found = cost.fit(points(1e-3, 2e-5, 1e-9, noise=0.1))
    assert min(found.fixed_s, found.token_s, found.square_s) >= 0
    assert 1 < found.error < 1.5


def test_an_engine_that_skips_padding_pays_for_tokens_only() -> None:
    padded = cost.CostModel(1e-3, 1e-5, 0.0)
    skipping = cost.CostModel(1e-3, 1e-5, 0.0, skips_padding=True)
    assert padded.batch_s([10, 100], 100) == pytest.approx(1e-3 + 200e-5)
    assert skipping.batch_s([10, 100], 100) == pytest.approx(1e-3 + 110e-5)


def test_batches_are_as_large_as_makes_the_fixed_cost_small() -> None:
    model = cost.CostModel(1e-3, 1e-5, 0.0)
    share = model.fixed_s / (model.fixed_s + model.batch_tokens * model.token_s)
    assert share == pytest.approx(0.05, abs=0.001)
    assert cost.CostModel(0.0, 1e-5, 0.0).batch_tokens >= 256


def test_classes_end_at_the_longest_text() -> None:
    for longest in (8, 64, 256, 512, 8192):
        edges = cost.CostModel(1e-3, 2e-5, 1e-8).edges(longest)
        assert edges[-1] == longest
        assert list(edges) == sorted(set(edges))
        assert all(b <= 1.5 * a + 1 for a, b in itertools.pairwise(edges))


def test_workers_that_timed_together_are_pooled() -> None:
    of_workers = [[Point(1, 8, s, 0.01), Point(2, 8, 2 * s)] for s in (0.001, 0.003, 0.002)]
    assert cost.pooled(of_workers) == [Point(1, 8, 0.002, 0.01), Point(2, 8, 0.004)]


def test_an_engine_that_plans_each_shape_is_given_few_widths() -> None:
    made = [dataclasses.replace(p, first_s=p.seconds + 0.004) for p in points(1e-3, 2e-5, 1e-8)]
    planning = cost.fit(made)
    assert planning.plan_s == pytest.approx(0.004)
    widths = {planning.width(length) for length in range(1, 513)}
    assert len(widths) <= 48
    for length in range(1, 513):
        assert length <= planning.width(length) <= max(length + 7, 1.07 * length)
    assert cost.fit(points(1e-3, 2e-5, 1e-8)).width(100) == 100
    packed = cost.fit(made, skips_padding=True)
    assert packed.width(101) == 101


def test_short_texts_take_a_sixth_of_the_longest_at_most() -> None:
    model = cost.CostModel(1e-4, 2e-5, 1e-8)
    edge = model.short_edge(512)
    assert edge is not None
    assert 6 * model.padded_s(1, edge) <= model.padded_s(1, 512)
    assert cost.CostModel(1e-2, 1e-6, 0.0).short_edge(512) is None
