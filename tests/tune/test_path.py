"""The path from the default to a setting: its order, and what cannot run on the way."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import pytest
from landscape import DIMENSIONS, question, space

from honed.study import Setting
from honed.tune.path import Leg, path, stops
from honed.tune.space import Dimension

SPACE = space(question("objective=latency"))
THROUGHPUT = replace(
    SPACE,
    dimensions=(
        *DIMENSIONS,
        Dimension("instances", (1, 2), True, "search"),
        Dimension("batch_size", (1, 4), True, "search"),
        Dimension("openmp", (None, "intel"), False, "polish"),
        Dimension("blocktime_ms", (None, 0), True, "polish"),
    ),
)
BEST = Setting({
    "backend": "openvino", "precision": "int8", "openvino.streams": 2, "openvino.hint": "latency",
    "allocator": "jemalloc", "batch_size": 4, "threads": 1,
})  # fmt: skip


def test_the_order_is_engine_precision_cores_batch_engines_knobs_machines_knobs() -> None:
    legs = path(THROUGHPUT, BEST)
    assert [leg.key for leg in legs] == [
        "backend", "precision", "threads", "batch_size", "openvino.hint", "openvino.streams",
        "allocator",
    ]  # fmt: skip
    assert [leg.value for leg in legs][:4] == ["openvino", "int8", 1, 4]
    assert stops(THROUGHPUT, legs)[0] == THROUGHPUT.default
    assert stops(THROUGHPUT, legs)[-1] == BEST
    assert [leg.is_root for leg in legs] == [True, True, *[False] * 5]


def test_each_leg_changes_one_key_of_the_setting_before() -> None:
    at = stops(THROUGHPUT, path(THROUGHPUT, BEST))
    for before, after in itertools.pairwise(at):
        changed = {k for k in {*before, *after} if before.get(k) != after.get(k)}
        assert len(changed) == 1


def test_there_is_no_path_from_the_default_to_itself() -> None:
    assert path(SPACE, SPACE.default) == ()
    assert stops(SPACE, ()) == (SPACE.default,)


def test_a_precision_that_the_default_cannot_run_is_one_step_with_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = Setting({"backend": "openvino", "precision": "fp32"})
    refusal = type(SPACE).refusal
    monkeypatch.setattr(
        type(SPACE), "refusal", lambda self, s: "no fp32" if s == bare else refusal(self, s)
    )
    to = bare.changed(precision="int8", threads=2)
    assert path(SPACE, to) == (
        Leg(("backend", "precision"), to.without("threads")), Leg(("threads",), to),
    )  # fmt: skip
    (both, _) = path(SPACE, to)
    assert (both.key, both.value, both.is_root) == ("backend+precision", "openvino+int8", True)


def test_settings_that_are_left_out_join_their_key_with_the_next_one() -> None:
    to = Setting({"backend": "openvino", "precision": "int8", "openvino.streams": 2})
    bare = to.without("openvino.streams")
    assert [leg.keys for leg in path(SPACE, to, {bare})] == [
        ("backend",), ("precision", "openvino.streams"),
    ]  # fmt: skip
    assert path(SPACE, to, {to})[-1].setting == to  # the end of a path is always on it


def test_a_knob_comes_after_the_one_that_it_has_an_effect_beside() -> None:
    to = Setting({
        "backend": "torch", "precision": "fp32", "openmp": "intel", "blocktime_ms": 0
    })  # fmt: skip
    assert [leg.keys[-1] for leg in path(THROUGHPUT, to)] == ["openmp", "blocktime_ms"]


def test_cores_that_the_instances_have_anyway_are_no_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to = Setting({"backend": "torch", "precision": "fp32", "instances": 2, "threads": 1})
    monkeypatch.setattr(sys.modules["honed.tune.path"], "seats", lambda case: [case.instances])
    monkeypatch.setattr(type(SPACE), "refusal", lambda *_: None)
    assert path(THROUGHPUT, to) == (Leg(("instances", "threads"), to),)
    monkeypatch.setattr(
        sys.modules["honed.tune.path"], "seats", lambda case: [case.instances, case.threads]
    )
    assert [leg.key for leg in path(THROUGHPUT, to)] == ["instances", "threads"]


def test_a_key_that_the_setting_has_back_as_it_comes_is_a_step_to_untouched() -> None:
    fixed = replace(SPACE, base=SPACE.base.replace(threads=2))
    (leg,) = path(fixed, fixed.default.without("threads"))
    assert (leg.key, leg.value) == ("threads", None)
