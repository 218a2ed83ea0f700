"""An outcome in words: a row for each step, and what was not recommended."""

from __future__ import annotations

from dataclasses import replace

from records import make_record

from honed.record import Interval
from honed.study import BY_TRIALS, IN_TURNS, Nearest, Outcome, PathStep, Setting
from honed.tune import say
from honed.tune.question import parse

STEPS = (
    PathStep("backend+precision", "openvino+int8", Interval(4.1, (3.9, 4.3)), IN_TURNS),
    PathStep("openvino.streams", 2, Interval(1.31), BY_TRIALS),
    PathStep("threads", None, Interval(1.08, (1.02, 1.14)), IN_TURNS),
)


def outcome(**fields: object) -> Outcome:
    return Outcome("s", "budget", default=make_record({"threads": 4}), **fields)  # type: ignore[arg-type]


def headline(*words: str, **fields: object) -> str:
    best = fields.pop("best", make_record())
    fields = {"best": best, "point": Setting({"backend": "torch", "precision": "fp32"}), **fields}
    return say.headline(outcome(**fields), parse(["model=tiny-bert", *words]))


def test_the_default_is_not_called_the_best_where_nothing_else_was_tried_or_proven() -> None:
    same = Interval(1.0)
    assert headline(gain=same, trials=1).startswith("only the default was tried")
    assert headline(gain=same, trials=9, dropped=STEPS[:1]).startswith("no setting was proven")
    assert headline(gain=same, trials=9).startswith("the default is the best setting of all")


def test_a_limit_that_is_missed_by_far_is_told_as_a_factor() -> None:
    point = Setting({"backend": "torch", "precision": "fp32"})
    near, far = (
        headline(best=None, point=None, nearest=Nearest(point, "latency_p50_ms<=10", share, None))
        for share in (0.25, 41.5)
    )
    assert near.endswith("misses latency_p50_ms<=10 by 25 %")
    assert far.endswith("misses latency_p50_ms<=10 by a factor of 42.5")


def test_memory_is_told_once_and_a_cosine_is_rounded_down() -> None:
    plain = make_record()
    assert plain.fidelity is not None
    best = replace(plain, fidelity=replace(plain.fidelity, cosine_min=0.99998))
    told = headline("objective=memory", gain=Interval(2.0), best=best)
    assert told.count("MiB") == 1
    assert told.endswith("cosine 0.9999")


def test_a_row_for_each_step_from_the_defaults_value_to_the_new_one() -> None:
    assert say.steps(outcome(steps=STEPS)) == [
        ("backend+precision", "torch+fp32 → openvino+int8", "4.10x (3.90 to 4.30)", "in turns"),
        ("openvino.streams", "as it comes → 2", "1.31x", "by one trial each"),
        ("threads", "4 → as it comes", "1.08x (1.02 to 1.14)", "in turns"),
    ]


def test_steps_that_were_not_proven_are_told_with_what_was_measured() -> None:
    flat = PathStep("allocator", "jemalloc", Interval(1.02, (0.97, 1.07)), IN_TURNS)
    assert say.dropped(outcome(dropped=(flat,))) == "allocator=jemalloc 1.02x (0.97 to 1.07)"
    assert say.dropped(outcome()) == ""
    nearly = PathStep("instances", 2, Interval(1.13, (1.02, 1.26)), IN_TURNS)
    told = say.dropped(outcome(dropped=(nearly,)))
    assert told.startswith("instances=2 1.13x (1.02 to 1.26) (where several steps are judged")
    assert say.steps(outcome()) == []


def test_a_trial_is_told_by_what_differs_from_the_best() -> None:
    fp32 = Setting({"backend": "torch", "precision": "fp32"})
    best = fp32.changed(threads=2, allocator="jemalloc")
    assert say.beside(fp32, None) == "backend=torch precision=fp32"
    assert say.beside(fp32.changed(precision="int8"), best) == "backend=torch precision=int8"
    assert say.beside(best, best) == "the best again"
    assert say.beside(best.changed(thp="always", threads=1), best) == (
        "the best, with thp=always threads=1"
    )
    assert (
        say.beside(fp32.changed(threads=1), best) == "the best, with threads=1, without allocator"
    )
