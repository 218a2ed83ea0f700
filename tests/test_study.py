"""The data of a study: settings as values, trials grouped by setting, the Pareto front, JSON."""

from __future__ import annotations

import json

import pytest

from honed.plain import from_plain, to_plain
from honed.record import Interval
from honed.study import (
    IN_TURNS,
    Axis,
    FrontPoint,
    Goal,
    Nearest,
    Outcome,
    PathStep,
    Pooled,
    Setting,
    StudyFacts,
    Trial,
    candidates,
    front,
    pareto_front,
)

FP32 = Setting({"precision": "fp32", "backend": "torch"})


def trial(number: int, setting: Setting, *costs: float, status: str = "ok") -> Trial:
    return Trial(number, "sampler", setting, status, f"r{number}", costs, costs)


def test_a_setting_is_a_value() -> None:
    same = Setting({"backend": "torch", "precision": "fp32", "threads": None})
    assert same == FP32 == {"backend": "torch", "precision": "fp32"}
    assert len({same, FP32}) == 1
    assert FP32.branch == ("torch", "fp32")
    changed = FP32.changed(threads=2, **{"torch.mode": "eager"})
    assert changed.name == "backend=torch precision=fp32 threads=2 torch.mode=eager"
    assert changed.without("threads", "torch.mode") == FP32
    assert changed.changed(threads=None).get("threads") is None
    assert Setting({"a": True}).name == "a=true"
    with pytest.raises(AttributeError):
        FP32._values = {}  # type: ignore[misc]


def test_trials_of_one_setting_are_one_candidate_by_their_medians() -> None:
    fast = FP32.changed(threads=2)
    trials = [
        trial(0, FP32, 3.0), trial(1, fast, 1.0), trial(2, fast, 1.4), trial(3, fast, 1.1),
        trial(4, FP32.changed(threads=1), status="running"),
    ]  # fmt: skip
    best, other = candidates(trials)
    assert (best.setting, best.costs, best.values, best.cost) == (fast, (1.1,), (1.1,), 1.1)
    assert other.setting == FP32
    failed = candidates([*trials, trial(5, fast, status="crashed")])
    assert [c.setting for c in failed] == [FP32, fast]  # one failure: not recommended


def test_the_front_holds_what_nothing_beats_in_every_objective() -> None:
    assert pareto_front([(1, 3), (2, 2), (3, 1), (3, 3), (2, 2)]) == [0, 1, 2, 4]
    settings = [FP32.changed(threads=n) for n in (1, 2, 3)]
    rows = [(1.0, 3.0), (2.0, 4.0), (3.0, 1.0)]
    trials = [trial(i, s, *row) for i, (s, row) in enumerate(zip(settings, rows, strict=True))]
    assert {c.setting for c in front(candidates(trials))} == {settings[0], settings[2]}


def test_an_outcome_comes_back_from_json() -> None:
    pooled = Pooled(1.0, 2.0, None, None, 0.999, ("r1", "r2"))
    outcome = Outcome(
        study="s", ended="budget", objectives=("latency",), point=FP32,
        gain=Interval(2.0, (1.9, 2.1)), best_pooled=pooled,
        steps=(PathStep("threads", 2, Interval(2.0, (1.9, 2.1)), IN_TURNS),),
        dropped=(PathStep("a+b", "1+2", Interval(1.0), "by one trial each"),),
        front=(FrontPoint(FP32, (1.0,), None),), nearest=Nearest(FP32, "a<=1", 0.5, "r"),
    )  # fmt: skip
    plain = json.loads(json.dumps(to_plain(outcome)))
    step = {"key": "threads", "value": 2, "gain": {"value": 2.0, "ci95": [1.9, 2.1]}}
    assert plain["steps"] == [{**step, "source": "in turns"}]
    assert plain["point"] == plain["front"][0]["point"] == dict(FP32)
    assert from_plain(Outcome, plain) == outcome


def test_a_report_reads_the_facts() -> None:
    axes = {
        "threads": Axis("threads", (1, 2, None)),
        "torch.mode": Axis("torch.mode", ("eager", "compile"), "eager", "torch"),
        "openvino.hint": Axis("openvino.hint", (None, "latency"), None, "openvino"),
    }
    goals = (Goal("latency", "ms", "less"),)
    facts = StudyFacts("s", goals, (trial(0, FP32, 3.0),), axes, FP32)
    assert facts.whole(FP32) == {"threads": None, "torch.mode": "eager", **FP32}
    assert (facts.default, facts.best, facts.steps, facts.compared) == (None, None, (), ())
    assert [c.setting for c in facts.candidates] == [FP32]


def test_a_step_is_named_as_its_settings_are_typed() -> None:
    def named(key: str, value: object) -> str:
        return PathStep(key, value, Interval(1.2), IN_TURNS).name  # type: ignore[arg-type]

    assert named("threads", 2) == "threads=2"
    assert named("backend+precision", "openvino+int8") == "backend=openvino precision=int8"
    assert named("threads", None) == "threads as it comes"
