"""The confirmation: who races, and what is recommended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from landscape import Landscape, confirming, find, latency_s, question, stored

from honed.case import Case
from honed.study import Setting, candidates
from honed.tune.confirm import confirm
from honed.tune.confirm.entrants import best_candidate, entrants, race_s
from honed.tune.confirm.work import DEFAULT, PLAIN, SIMPLER, WINNER, Confirmation
from honed.tune.storage import load

BARE = Setting({"backend": "openvino", "precision": "int8"})
BEST = BARE.changed(allocator="jemalloc", **{"openvino.streams": 2})
LATENCY = question("objective=latency", "budget=10m")


def others(work: Confirmation, winner: Setting) -> list:  # type: ignore[type-arg]
    able = candidates(work.context.study.trials())
    return [c for c in able if c.setting not in (winner, work.default)]


class TestEntrants:
    def test_the_simplest_of_those_within_two_percent_goes_in(self, tmp_path: Path) -> None:
        lab = Landscape(lambda c: 0.0495 if c.get("allocator") else 0.05)
        with confirming(
            tmp_path, lab, LATENCY, [BARE, BARE.changed(allocator="jemalloc")]
        ) as work:
            able = candidates(work.context.study.trials())
        assert best_candidate([c for c in able if c.setting.branch == BARE.branch]).setting == BARE

    def test_the_winner_without_the_machines_and_without_its_engines_knobs(
        self, tmp_path: Path
    ) -> None:
        with confirming(tmp_path, Landscape(latency_s), LATENCY, [BEST]) as work:
            sides = entrants(work, BEST, [])
        assert sides == {WINNER: BEST, SIMPLER: BEST.without("allocator"), PLAIN: BARE}

    def test_a_plain_form_that_is_far_behind_does_not_race(self, tmp_path: Path) -> None:
        with confirming(tmp_path, Landscape(latency_s), LATENCY, [BEST, BARE]) as work:
            sides = entrants(work, BEST, others(work, BEST))
        assert set(sides) == {WINNER, SIMPLER}  # 18 % slower by one trial each

    @pytest.mark.parametrize(("default_s", "races"), [(0.06, True), (0.07, False)])
    def test_the_default_races_where_it_is_near(
        self, tmp_path: Path, default_s: float, races: bool
    ) -> None:
        lab = Landscape(lambda c: default_s if c.backend == "torch" else 0.05)
        with confirming(tmp_path, lab, LATENCY, [BARE]) as work:
            assert (DEFAULT in entrants(work, BARE, [])) is races

    def test_others_race_as_far_as_there_is_time(self, tmp_path: Path) -> None:
        rivals = [BARE.changed(malloc_arenas=n) for n in (1, 2, 4)]
        lab = Landscape(lambda c: 0.15 if c.backend == "torch" else 0.05)
        with confirming(tmp_path, lab, LATENCY, [BARE, *rivals], left_s=300.0) as work:
            sides = entrants(work, BARE, others(work, BARE))
            assert {"other 1", "other 2", "other 3"} <= set(sides)
            work.until_s = lab.now_s + 120.0
            few = entrants(work, BARE, others(work, BARE))
            block_s = 8.0 * len(few)
            assert len(few) < len(sides)
            assert 3 * block_s < race_s(work, BARE)

    def test_a_setting_that_one_trial_shows_to_be_slower_does_not_race(
        self, tmp_path: Path
    ) -> None:
        slow = BARE.changed(threads=1)
        with confirming(tmp_path, Landscape(latency_s), LATENCY, [BARE, slow]) as work:
            assert slow not in entrants(work, BARE, others(work, BARE)).values()


class TestConfirm:
    def test_what_only_the_trials_promised_is_not_recommended(self, tmp_path: Path) -> None:
        """The default is overtaken only for as long as the trials last."""
        lab = Landscape(lambda _: 0.1)

        def promise_broken(case: Case) -> float:
            if (case.backend, case.precision) == ("torch", "fp32"):
                return 0.1
            return 0.05 if lab.now_s < 60 else 0.12

        lab.latency_s = promise_broken
        of = question("objective=latency", "budget=2m", "sampler=tpe")
        with stored(tmp_path, of) as (study, _):
            outcome = find(study, lab)
        assert dict(outcome.point or {}) == {"backend": "torch", "precision": "fp32"}
        assert outcome.gain.value == 1.0

    def test_the_outcome_is_stored_and_another_processs_is_returned(self, tmp_path: Path) -> None:
        with confirming(tmp_path, Landscape(latency_s), LATENCY, [BARE]) as work:
            study = work.context.study
            first = confirm(work.context, "trials")
            assert load(study.url, "test").outcome == first
            elsewhere = replace(first, note="by another process")
            study.store_outcome(elsewhere)
            assert confirm(work.context, "trials") == elsewhere

    def test_a_failure_is_named_with_its_setting(self, tmp_path: Path) -> None:
        lab = Landscape(latency_s)
        with confirming(tmp_path, lab, LATENCY, [BEST, BEST.without("allocator")]) as work:
            lab.failing = lambda c: "crashed" if c.get("allocator") else None
            outcome = confirm(work.context, "trials")
        assert outcome.note.startswith(f"{BEST.name}: ")
        assert outcome.point == BEST.without("allocator")

    def test_a_recommendation_that_fails_as_a_whole_run_says_so(self, tmp_path: Path) -> None:
        """Processes in turns have no memory pass: its failure shows in the last record only."""
        lab = Landscape(latency_s)
        with confirming(tmp_path, lab, LATENCY, [BARE]) as work:
            lab.failing = lambda c: "crashed" if c.memory and c.backend != "torch" else None
            outcome = confirm(work.context, "trials")
        assert outcome.point == BARE
        assert outcome.note == f"{BARE.name}: as the test asked"
        assert outcome.best is not None
        assert outcome.best.ok

    def test_objectives_without_luck_need_no_turns(self, tmp_path: Path) -> None:
        lab = Landscape(latency_s)
        lab.memory_mib = lambda c: 900.0 if c.backend == "torch" else 400.0
        with confirming(tmp_path, lab, question("objective=memory"), [BARE]) as work:
            before = len(lab.measured)
            outcome = confirm(work.context, "trials")
        assert outcome.point == BARE
        assert len(lab.measured) - before <= 1  # the last record only
        assert outcome.gain.value == pytest.approx(900 / 400)

    @pytest.mark.parametrize("seed", range(4))
    def test_the_default_is_never_worse_than_what_is_recommended(
        self, tmp_path: Path, seed: int
    ) -> None:
        truth: dict[str, Callable[[], float]] = {"torch": lambda: 0.1, "openvino": lambda: 0.104}
        lab = Landscape(lambda c: truth.get(c.backend, lambda: 0.2)())
        lab.noise = 0.04
        of = question("objective=latency", "budget=8m", "sampler=random", f"seed={seed}")
        with stored(tmp_path, of) as (study, _):
            outcome = find(study, lab)
        assert outcome.point is not None
        chosen = lab.latency_s(study.space.case(outcome.point))
        default = lab.latency_s(study.space.case(study.space.default))
        assert math.log(chosen / default) < 0.05
