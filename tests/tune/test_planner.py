"""Each stage of the search by itself: what it proposes, and when it is silent."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from landscape import DIMENSIONS, ENGINES, question, space

from honed import discovery
from honed.study import Setting, Trial
from honed.tune.planner import Proposal, View, exhaustive, in_stages
from honed.tune.policy import POLICY
from honed.tune.space import Branch, Dimension, Space
from honed.tune.stages import (
    expert,
    halving,
    machine_knobs,
    others,
    promising,
    repeat,
    sampler,
    simpler,
    structures,
    unlikely,
    warm,
)

QUESTION = question("objective=latency", "sampler=random")
SPACE = space(QUESTION)
DEFAULT = SPACE.default
OPENVINO = Setting({"backend": "openvino", "precision": "int8"})
ONNXRUNTIME = Setting({"backend": "onnxruntime", "precision": "int8"})
TORCH_INT8 = Setting({"backend": "torch", "precision": "int8"})
OPENVINO_BF16 = Setting({"backend": "openvino", "precision": "bf16"})
ONNXRUNTIME_FP32 = Setting({"backend": "onnxruntime", "precision": "fp32"})
TWO_KNOBS = replace(
    SPACE,
    dimensions=(
        Dimension("allocator", (None, "jemalloc"), False, "polish"),
        Dimension("thp", (None, "always"), False, "polish"),
    ),
)


def trials(*results: tuple[Setting, float | str], stage: str = "expert") -> list[Trial]:
    """A trial of each setting, with a cost or with the status of a failure."""
    numbers = count()
    return [
        Trial(next(numbers), stage, setting, "ok", "r", (result,), (result,))
        if isinstance(result, float)
        else Trial(next(numbers), stage, setting, result)
        for setting, result in results
    ]


def view(done: list[Trial], share: float = 0.0, of: Space = SPACE) -> View:
    numbered = [replace(trial, number=number) for number, trial in enumerate(done)]
    return View(QUESTION, of, numbered, share)


def proposed(proposal: Proposal | None) -> Setting | None:
    return None if proposal is None else proposal.setting


def test_the_stages_are_asked_in_the_order_that_their_files_name() -> None:
    package = "honed.tune.stages"
    stages = [discovery.load(package, name) for name in discovery.names(package)]
    names = [s.__name__.rpartition(".")[2] for s in sorted(stages, key=lambda s: s.ORDER)]
    assert names == [
        "warm", "expert", "structures", "others", "halving", "promising", "sampler",
        "machine_knobs", "simpler", "unlikely", "repeat",
    ]  # fmt: skip
    assert len({s.ORDER for s in stages}) == len(stages)


@pytest.mark.parametrize("planner", [in_stages, exhaustive])
def test_the_default_comes_first(planner) -> None:  # type: ignore[no-untyped-def]
    assert planner(view([])) == Proposal(DEFAULT, "default")
    again = planner(view(trials((DEFAULT, "interrupted"))))
    assert again == Proposal(DEFAULT, "default")  # an interrupted trial may be repeated


@pytest.mark.parametrize(
    ("stage", "share"),
    [
        (warm, 0.85), (expert, 0.85), (structures, 0.95), (others, 0.55), (halving, 0.7),
        (promising, 0.85), (sampler, 0.85), (machine_knobs, 0.95), (simpler, 1.0),
        (unlikely, 0.6), (repeat, 1.0),
    ],
)  # fmt: skip
def test_no_stage_begins_after_its_share(stage, share: float) -> None:  # type: ignore[no-untyped-def]
    several = replace(QUESTION, objectives=("latency", "memory"), extra={"warm": [TORCH_INT8]})
    best = OPENVINO.changed(**{"openvino.streams": 2})
    done = [
        *trials((DEFAULT, 3.0), (ONNXRUNTIME, 1.2), (OPENVINO, 1.1)),
        *trials((best, 1.0), stage="sampler"),
    ]
    assert stage.propose(View(several, SPACE, done, share)) is None


class TestWarm:
    def test_the_settings_of_the_earlier_study_in_their_order(self) -> None:
        known = OPENVINO.changed(**{"openvino.streams": 2})
        extra = {"warm": [{"backend": "gone", "precision": "fp32"}, dict(known), dict(TORCH_INT8)]}
        of = replace(QUESTION, extra=extra)
        assert warm.propose(View(of, SPACE, [], 0.0)) == Proposal(known, "warm")
        done = trials((known, 1.0))
        assert proposed(warm.propose(View(of, SPACE, done, 0.0))) == TORCH_INT8


class TestExpert:
    def test_each_engine_once_with_its_most_promising_precision(self) -> None:
        done = trials((DEFAULT, 3.0))
        settings = []
        while (proposal := expert.propose(view(done))) is not None:
            settings.append(proposal.setting)
            done += trials((proposal.setting, 1.0))
        assert settings == [OPENVINO, ONNXRUNTIME, TORCH_INT8]

    def test_an_unlikely_engine_waits(self) -> None:
        branches = tuple(replace(b, unlikely=b.backend == "openvino") for b in ENGINES)
        first = expert.propose(view(trials((DEFAULT, 3.0)), of=replace(SPACE, branches=branches)))
        assert proposed(first) == ONNXRUNTIME


class TestStructures:
    def test_the_two_leaders_get_all_cores(self) -> None:
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0), (ONNXRUNTIME, 2.0))
        assert proposed(structures.propose(view(done))) == OPENVINO.changed(threads=2)
        done += trials((OPENVINO.changed(threads=2), 1.0))
        assert proposed(structures.propose(view(done))) == ONNXRUNTIME.changed(threads=2)
        done += trials((ONNXRUNTIME.changed(threads=2), 2.0))
        assert structures.propose(view(done)) is None

    def test_instances_share_the_cores_where_they_are_searched(self) -> None:
        instances = Dimension("instances", (1, 2), True, "search")
        wide = replace(SPACE, dimensions=(instances, *DIMENSIONS))
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0))
        first = structures.propose(view(done, of=wide))
        assert proposed(first) == OPENVINO.changed(instances=2, threads=1)

    def test_unequal_shares_are_tried_where_they_are_searched(self) -> None:
        sizes = Dimension("sizes", (None, "2+4", "1+2+3"), False, "search")
        base = SPACE.base.replace(oversubscribe=True)
        wide = replace(SPACE, base=base, dimensions=(sizes,))
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0))
        found = []
        while (proposal := structures.propose(view(done, of=wide))) is not None:
            found.append(proposal.setting)
            done += trials((proposal.setting, 2.0))
        assert found[:2] == [OPENVINO.changed(sizes="2+4"), OPENVINO.changed(sizes="1+2+3")]

    def test_they_come_before_the_machines_knobs_however_late_it_is(self) -> None:
        instances = Dimension("instances", (1, 2), True, "search")
        wide = replace(SPACE, dimensions=(instances, *DIMENSIONS))
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0))
        found = in_stages(view(done, share=0.9, of=wide))
        assert found == Proposal(OPENVINO.changed(instances=2, threads=1), "expert")


class TestOthers:
    def test_a_branch_that_is_expected_to_be_far_behind_waits(self) -> None:
        """OpenVINO's int8 promises 4, its bf16 2: twice as slow as the leader."""
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0), (ONNXRUNTIME, 2.0), (TORCH_INT8, 2.0))
        assert others.propose(view(done)) is None
        close = trials((DEFAULT, 3.0), (OPENVINO, 1.0), (ONNXRUNTIME, 0.9), (TORCH_INT8, 2.0))
        assert others.propose(view(close)) is None
        assert proposed(unlikely.propose(view(done))) == OPENVINO_BF16

    def test_an_engine_without_a_result_is_not_judged(self) -> None:
        done = trials((DEFAULT, 3.0), (OPENVINO, "crashed"), (ONNXRUNTIME, 2.0))
        assert proposed(others.propose(view(done))) == TORCH_INT8


class TestPromising:
    SHAPES = replace(
        SPACE,
        dimensions=(
            *SPACE.dimensions,
            Dimension("openvino.shapes", (None, "static"), False, "search"),
        ),
    )

    def test_a_promising_value_is_tried_once_on_the_best_setting(self) -> None:
        best = OPENVINO.changed(threads=2)
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.1), (best, 1.0))
        asked = promising.propose(view(done, of=self.SHAPES))
        assert proposed(asked) == best.changed(**{"openvino.shapes": "static"})
        done += trials((best.changed(**{"openvino.shapes": "static"}), 0.9))
        assert promising.propose(view(done, of=self.SHAPES)) is None

    def test_a_value_that_is_not_searched_is_not_tried(self) -> None:
        done = trials((DEFAULT, 3.0), (OPENVINO, 1.0))
        assert promising.propose(view(done)) is None


class TestHalving:
    SPREAD = ((DEFAULT, 9.0), (OPENVINO, 1.0), (ONNXRUNTIME, 1.1), (TORCH_INT8, 1.2))

    def test_the_better_half_is_measured_again(self) -> None:
        done = trials(*self.SPREAD)
        assert halving.propose(view(done)) == Proposal(OPENVINO, "halving")
        done += trials((OPENVINO, 1.0))
        assert halving.propose(view(done)) == Proposal(ONNXRUNTIME, "halving")
        done += trials((ONNXRUNTIME, 1.1))
        assert halving.propose(view(done)) is None

    def test_a_branch_far_from_the_second_is_not_in_doubt(self) -> None:
        done = trials((DEFAULT, 9.0), (OPENVINO, 1.0), (ONNXRUNTIME, 2.0), (TORCH_INT8, 8.0))
        assert proposed(halving.propose(view(done))) == ONNXRUNTIME

    def test_two_branches_need_no_halving(self) -> None:
        assert halving.propose(view(trials(*self.SPREAD[:2]))) is None


class TestSampler:
    def test_the_leader_gets_two_trials_for_each_of_the_second(self) -> None:
        done = trials((OPENVINO, 1.0), (ONNXRUNTIME, 1.1), (DEFAULT, 3.0))
        branches = []
        for cost in (1.3, 1.4, 1.5):  # no gain for either branch
            proposal = sampler.propose(view(done))
            assert proposal is not None
            assert not view(done).tried(proposal.setting)
            branches.append(proposal.setting.branch[0])
            done += trials((proposal.setting, cost), stage="sampler")
        assert branches == ["openvino", "onnxruntime", "openvino"]

    def test_a_branch_without_a_gain_is_given_up(self) -> None:
        alone = replace(SPACE, branches=ENGINES[:2])
        done = trials((OPENVINO, 1.0))
        for _ in range(POLICY.patience):
            proposal = sampler.propose(view(done, of=alone))
            assert proposal is not None
            done += trials((proposal.setting, 1.0), stage="sampler")
        assert sampler.propose(view(done, of=alone)) is None

    def test_a_gain_keeps_a_branch_in_the_search(self) -> None:
        alone = replace(SPACE, branches=ENGINES[:2])
        done = trials((OPENVINO, 1.0))
        for number in range(POLICY.patience):
            proposal = sampler.propose(view(done, of=alone))
            assert proposal is not None
            done += trials((proposal.setting, 0.9 if number == 3 else 1.0), stage="sampler")
        assert sampler.propose(view(done, of=alone)) is not None


class TestMachineKnobs:
    def test_one_after_the_other_and_a_gain_of_two_percent_is_kept(self) -> None:
        done = trials((OPENVINO, 1.0))
        jemalloc = OPENVINO.changed(allocator="jemalloc")
        assert machine_knobs.propose(view(done, of=TWO_KNOBS)) == Proposal(jemalloc, "polish")
        done += trials((jemalloc, 0.9), stage="polish")
        following = machine_knobs.propose(view(done, of=TWO_KNOBS))
        assert proposed(following) == jemalloc.changed(thp="always")

    def test_less_than_two_percent_is_not_believed(self) -> None:
        done = trials((OPENVINO, 1.0))
        done += trials((OPENVINO.changed(allocator="jemalloc"), 0.985), stage="polish")
        following = machine_knobs.propose(view(done))
        assert proposed(following) == OPENVINO.changed(allocator="tcmalloc")

    def test_a_number_that_failed_is_not_raised_further(self) -> None:
        arenas = Dimension("malloc_arenas", (None, 1, 2, 4), True, "polish")
        of = replace(SPACE, dimensions=(arenas,))
        done = trials((OPENVINO, 1.0))
        done += trials((OPENVINO.changed(malloc_arenas=1), "crashed"), stage="polish")
        assert machine_knobs.propose(view(done, of=of)) is None

    def test_small_gains_are_tried_together(self) -> None:
        single = [OPENVINO.changed(allocator="jemalloc"), OPENVINO.changed(thp="always")]
        done = trials((OPENVINO, 1.0))
        done += trials(*((setting, 0.99) for setting in single), stage="polish")
        both = OPENVINO.changed(allocator="jemalloc", thp="always")
        assert proposed(machine_knobs.propose(view(done, of=TWO_KNOBS))) == both


class TestSimpler:
    def test_the_best_without_each_of_its_knobs(self) -> None:
        best = OPENVINO.changed(threads=2, **{"openvino.streams": 2})
        done = trials((OPENVINO, 1.2), (best, 1.0))
        assert proposed(simpler.propose(view(done))) == best.without("openvino.streams")
        done += trials((best.without("openvino.streams"), 1.1))
        assert proposed(simpler.propose(view(done))) == best.without("threads")


class TestUnlikely:
    def test_every_branch_in_the_end_the_unlikely_engines_last(self) -> None:
        branches = (Branch("torch", "fp32", 1.0), Branch("keras", "fp32", 1.0, unlikely=True),
                    Branch("onnxruntime", "fp32", 1.0))  # fmt: skip
        of = replace(SPACE, branches=branches, memory_bytes=None)
        done = trials((DEFAULT, 1.0))
        assert proposed(unlikely.propose(view(done, of=of))) == ONNXRUNTIME_FP32


class TestRepeat:
    def test_settings_that_may_lie_on_the_front_are_measured_again(self) -> None:
        several = replace(QUESTION, objectives=("latency", "memory"))
        rows = ((OPENVINO, (1.0, 4.0)), (ONNXRUNTIME, (2.0, 2.1)), (TORCH_INT8, (3.0, 9.0)))
        done = [Trial(i, "expert", s, "ok", "r", row, row) for i, (s, row) in enumerate(rows)]
        assert proposed(repeat.propose(View(several, SPACE, done, 0.9))) == OPENVINO
        again = [*done, replace(done[0], number=3), replace(done[0], number=4)]
        assert proposed(repeat.propose(View(several, SPACE, again, 0.9))) == ONNXRUNTIME
        assert repeat.propose(view(done, share=0.9)) is None  # one objective: they race instead
