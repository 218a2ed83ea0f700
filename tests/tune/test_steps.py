"""The steps of a path: from turns, from trials where there are none, and their product."""

from __future__ import annotations

import math

import pytest
from landscape import question

from honed.experiment.policy import SEARCH
from honed.record import Interval
from honed.statistics.additive import fit
from honed.study import BY_TRIALS, IN_TURNS, Setting, Trial, candidates
from honed.tune.path import Leg
from honed.tune.steps import Gained, Known, gained, trial_costs, whole_gain

DEFAULT = Setting({"backend": "torch", "precision": "fp32"})
ENGINE = DEFAULT.changed(backend="openvino")
BARE = ENGINE.changed(precision="int8")
LAST = BARE.changed(allocator="jemalloc")
LEGS = (Leg(("backend",), ENGINE), Leg(("precision",), BARE), Leg(("allocator",), LAST))
TRUTH = {DEFAULT: 0.0, ENGINE: -0.3, BARE: -1.3, LAST: -1.4}


def known(*blocks: list[Setting], trials: dict[Setting, float] | None = None) -> Known:
    """Blocks without noise, and trials that are all luckier by 0.5 than the blocks."""
    times = [{s.name: TRUTH[s] + i for s in block} for i, block in enumerate(blocks)]
    costs = {s: TRUTH[s] - 0.5 for s in TRUTH} if trials is None else trials
    return Known(fit(times, SEARCH.noise), {s: s.name for s in TRUTH}, costs)


def product(steps: tuple[Gained, ...]) -> float:
    return math.prod(s.gain.value or math.nan for s in steps)


def test_steps_in_turns_have_intervals_and_their_product_is_the_gain() -> None:
    all_four = known(*[list(TRUTH)] * 3, [BARE, LAST], [BARE, LAST])
    steps = gained(DEFAULT, LEGS, all_four)
    assert [s.source for s in steps] == [IN_TURNS] * 3
    assert [math.log(s.gain.value or 1) for s in steps] == pytest.approx([0.3, 1.0, 0.1])
    whole = whole_gain(DEFAULT, steps, all_four)
    assert product(steps) == pytest.approx(whole.value, rel=1e-9)
    assert all(s.gain.ci95 and s.gain.ci95[0] < s.gain.value < s.gain.ci95[1] for s in steps)


def test_a_trial_fills_in_between_settings_that_were_measured_in_turns() -> None:
    """Relative to its neighbours: it does not move the gain, which turns tell."""
    luck = {DEFAULT: 0.2, ENGINE: -0.3, BARE: -1.3, LAST: -1.4}
    gap = known([DEFAULT, BARE, LAST], [DEFAULT, BARE, LAST], trials=luck)
    steps = gained(DEFAULT, LEGS, gap)
    assert [s.source for s in steps] == [BY_TRIALS, BY_TRIALS, IN_TURNS]
    # 0.5 after the default by trials, 1.0 before the next: a fifth more than turns tell in all.
    assert [math.log(s.gain.value or 1) for s in steps] == pytest.approx([0.4, 0.9, 0.1])
    assert steps[0].gain.ci95 is None
    whole = whole_gain(DEFAULT, steps, gap)
    assert whole.value == pytest.approx(math.exp(1.4))
    assert product(steps) == pytest.approx(whole.value)


def test_without_turns_every_step_is_by_one_trial_each() -> None:
    steps = gained(DEFAULT, LEGS, known())
    assert [s.source for s in steps] == [BY_TRIALS] * 3
    whole = whole_gain(DEFAULT, steps, known())
    assert (whole.value, whole.ci95) == (pytest.approx(math.exp(1.4)), None)


def test_a_setting_that_nothing_is_known_of_is_joined_with_the_next_one() -> None:
    without = {s: c for s, c in TRUTH.items() if s != ENGINE}
    steps = gained(DEFAULT, LEGS, known(trials=without))
    assert [s.leg.key for s in steps] == ["backend+precision", "allocator"]
    assert steps[0].step.value == "openvino+int8"
    assert product(steps) == pytest.approx(math.exp(1.4))


def test_nothing_is_told_of_what_was_never_measured() -> None:
    assert gained(DEFAULT, LEGS, known(trials={LAST: 0.0})) == ()
    some = gained(DEFAULT, LEGS, known(trials={DEFAULT: 0.0, ENGINE: -0.3}))
    assert [s.leg.key for s in some] == ["backend"]
    assert whole_gain(DEFAULT, (), known()).value is None
    assert not known(trials={}).knows(DEFAULT)
    assert known([DEFAULT, LAST], trials={}).knows(DEFAULT)


def test_a_step_is_proven_where_its_interval_is_above_one_and_it_gains_a_hundredth() -> None:
    few, many = known([BARE, LAST]), known(*[[BARE, LAST]] * 12)
    leg = LEGS[-1]
    assert not Gained(leg, BARE, few.gain(LAST, BARE), IN_TURNS).is_proven(few, 0.05)
    assert Gained(leg, BARE, many.gain(LAST, BARE), IN_TURNS).is_proven(many, 0.05)
    # Certain, but under a hundredth.
    tiny = {BARE: 0.0, LAST: -0.008}
    blocks = [{s.name: t for s, t in tiny.items()}] * 200
    at = Known(fit(blocks, SEARCH.noise), {s: s.name for s in tiny}, {})
    gain = at.gain(LAST, BARE)
    assert gain.ci95 is not None
    assert gain.ci95[0] > 1
    assert not Gained(leg, BARE, gain, IN_TURNS).is_proven(at, 0.05)


@pytest.mark.parametrize(
    ("ratio", "has_luck", "proven"),
    [(1.2, True, False), (1.4, True, True), (1.02, False, True), (1.005, False, False)],
)
def test_one_trial_each_proves_large_gains_only(
    ratio: float, has_luck: bool, proven: bool
) -> None:
    at = Known(fit([], SEARCH.noise), {}, {}, has_luck)
    assert Gained(LEGS[0], DEFAULT, Interval(ratio), BY_TRIALS).is_proven(at, 0.05) is proven


def test_costs_by_trials_are_those_of_the_objective_that_turns_compare() -> None:
    of = question("objective=memory,latency")
    trial = Trial(0, "default", DEFAULT, "ok", "r", (400.0, 20.0), (400.0, 20.0))
    failed = Trial(1, "expert", ENGINE, "crashed")
    ranked = candidates([trial, failed])
    assert trial_costs(of, ranked) == {DEFAULT: pytest.approx(math.log(20.0))}
    no_luck = question("objective=memory")
    (alone,) = candidates([Trial(0, "default", DEFAULT, "ok", "r", (400.0,), (400.0,))])
    assert trial_costs(no_luck, [alone]) == {DEFAULT: pytest.approx(math.log(400.0))}
