"""Warm-up: every shape before the timed calls, and steady times told from few inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honed.models.inputs import InputSet
from honed.run.warmup import Warmup


class Engine:
    """Its clock moves by what a call costs: much for a shape that it has not seen, then little."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, compile_s: float) -> None:
        self.now_s, self.compile_s = 0.0, compile_s
        self.calls: list[tuple[int, ...]] = []
        clock = SimpleNamespace(perf_counter=lambda: self.now_s)
        monkeypatch.setattr(sys.modules[Warmup.__module__], "time", clock)

    def run(self, feed: Any) -> None:
        new = feed.shape not in self.calls
        self.now_s += 1e-4 * feed.shape[1] + (self.compile_s if new else 0)
        self.calls.append(feed.shape)

    def outputs(self, raw: Any) -> Any:
        return raw


def inputs_of(*widths: int) -> InputSet:
    batches = tuple({"input_ids": np.ones((2, width), np.int64)} for width in widths)
    return InputSet(batches, tuple(2 * [w] for w in widths), "x")  # type: ignore[arg-type]


def warmed(
    engine: Engine,
    inputs: InputSet,
    limit_s: float,
    checked: int = 0,
    timed: Sequence[int] | None = None,
) -> Warmup:
    feeds = [batch["input_ids"] for batch in inputs.batches]
    warmup = Warmup(engine, feeds, inputs, limit_s)  # type: ignore[arg-type]
    for feed in feeds[:checked]:
        warmup.run(feed)
    warmup.finish(range(len(feeds)) if timed is None else timed)
    return warmup


def test_every_shape_is_called_even_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, compile_s=30)
    widths = [64, 16, 32, 64, 48, 16]
    warmup = warmed(engine, inputs_of(*widths), limit_s=1)
    assert {shape[1] for shape in engine.calls} == set(widths)
    assert warmup.settled
    assert warmup.elapsed_s == pytest.approx(engine.now_s)
    assert warmup.elapsed_s > 4 * 30


def test_shapes_that_the_check_has_called_are_not_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(monkeypatch, compile_s=5)
    inputs = inputs_of(*range(16, 64))
    warmed(engine, inputs, limit_s=1, checked=8)
    assert len(engine.calls[:48]) == len(set(engine.calls[:48])) == 48
    # What follows takes few inputs in turn: the narrowest, one between, the widest.
    assert {shape[1] for shape in engine.calls[48:]} == {16, 40, 63}


def test_unlike_inputs_settle_as_quickly_as_alike_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    engine = Engine(monkeypatch, compile_s=0)
    warmup = warmed(engine, inputs_of(*rng.integers(8, 513, 64)), limit_s=10)
    assert warmup.settled
    assert warmup.elapsed_s < 5


def test_alike_inputs_all_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, compile_s=0)
    warmup = warmed(engine, inputs_of(64, 64, 64, 64), limit_s=1, checked=1)
    assert warmup.settled
    assert warmup.elapsed_s == pytest.approx(engine.now_s)


def test_without_warm_up_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, compile_s=1)
    warmup = warmed(engine, inputs_of(8, 16), limit_s=0)
    assert engine.calls == []
    assert not warmup.settled


def test_only_the_inputs_that_will_be_timed_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, compile_s=5)
    warmup = warmed(engine, inputs_of(*range(16, 64)), limit_s=1, timed=[0, 20, 40, 47])
    assert {shape[1] for shape in engine.calls} == {16, 36, 56, 63}
    assert warmup.settled
