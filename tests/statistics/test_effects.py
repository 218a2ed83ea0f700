"""Effects from few trials, on landscapes whose shares of the variance are known."""

from __future__ import annotations

import math
import random
from statistics import pvariance

import numpy as np
import pytest

from honed.statistics.effects import Effects, Key, Row

KEYS = {
    "engine": Key(("a", "b", "c"), 0.5),
    "precision": Key(("fp32", "int8"), 0.5),
    "threads": Key((1, 2, 4, 8), 0.25, ordered=True),
    "a.mode": Key((None, "x", "y"), 0.1, share=1 / 3),
    "flat": Key((None, "on"), 0.1),
    "also flat": Key((None, "on", "off"), 0.04),
}
EFFECTS = {
    "engine": {"a": 0.0, "b": -0.4, "c": 0.3},
    "precision": {"fp32": 0.6, "int8": -0.6},
    "threads": {1: 0.4, 2: 0.1, 4: -0.1, 8: -0.2},
    "a.mode": {None: 0.0, "x": 0.3, "y": -0.3},
}


def log_cost(row: Row) -> float:
    return sum(of[row[key]] for key, of in EFFECTS.items() if key in row)


def design(count: int, seed: int) -> list[Row]:
    """Each value of a key about equally often, in random order."""
    rng = random.Random(seed)
    columns = {
        key: [of.values[i % len(of.values)] for i in range(count)] for key, of in KEYS.items()
    }
    for column in columns.values():
        rng.shuffle(column)
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [
        {k: v for k, v in row.items() if k != "a.mode" or row["engine"] == "a"} for row in rows
    ]


def fitted(count: int, seed: int, noise: float = 0.05) -> Effects:
    rows, rng = design(count, seed), random.Random(seed + 100)
    return Effects(KEYS, rows, [log_cost(row) + rng.gauss(0, noise) for row in rows])


@pytest.mark.parametrize("seed", range(5))
def test_the_shares_are_those_of_the_landscape(seed: int) -> None:
    found = fitted(30, seed).variances()
    for key, effects in EFFECTS.items():
        known = KEYS[key].share * pvariance(effects.values())
        assert found[key] == pytest.approx(known, rel=0.5)
    total = sum(found.values())
    assert found["flat"] < 0.05 * total
    assert found["also flat"] < 0.05 * total


@pytest.mark.parametrize("seed", range(5))
def test_a_setting_that_nobody_has_tried_is_predicted(seed: int) -> None:
    model, others = fitted(30, seed), design(20, seed + 1000)
    expected, deviation = model.predict(others)
    errors = expected - np.array([log_cost(row) for row in others])
    assert float(np.sqrt((errors**2).mean())) < 0.12
    assert float((np.abs(errors) < 2.5 * deviation).mean()) > 0.8


def test_what_was_never_changed_is_uncertain() -> None:
    rows: list[Row] = [{"precision": p, "flat": None} for p in ("fp32", "int8", "fp32", "int8")]
    keys = {key: KEYS[key] for key in ("precision", "flat")}
    model = Effects(keys, rows, [0.6, -0.6, 0.62, -0.61])
    expected, deviation = model.predict([rows[0], {"precision": "fp32", "flat": "on"}])
    assert expected[0] == pytest.approx(0.6, abs=0.05)
    assert deviation[1] > 2 * deviation[0]
    assert set(model.variances()) == {"precision"}


def test_costs_that_are_all_alike_have_no_effects() -> None:
    model = Effects(KEYS, design(20, 0), [math.log(3.0)] * 20)
    assert not any(model.variances().values())
